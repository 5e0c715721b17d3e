"""A channel layer within one process that loses, repeats, delays and reorders, by chance or by order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from channels.layers import channel_layers

AWAY = "The layer is away, as the test has ordered."


@dataclass
class Faults:
    """What happens to messages on their way. Shares are from 0 to 1, times in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    #: The share of messages that later ones overtake.
    reorder: float = 0.0
    delay: float = 0.0

    def fates(self, dice: random.Random) -> list[float]:
        """Return in how many seconds each copy of a message arrives; none when it is lost."""
        if dice.random() < self.drop:
            return []
        return [self._seconds(dice) for _ in range(1 + (dice.random() < self.duplicate))]

    def _seconds(self, dice: random.Random) -> float:
        return self.delay + (dice.uniform(0.001, 0.05) if dice.random() < self.reorder else 0.0)


class Link:
    """The way from the layer to one member.

    ``smooth`` it brings each message at once, unless the layer's faults decide otherwise. If it is not, the
    test moves each message itself.
    """

    def __init__(self, layer: FaultyLayer) -> None:
        self.smooth = layer.smooth
        self.waiting: list[dict[str, Any]] = []
        self.past: list[dict[str, Any]] = []
        self._layer = layer
        self._inbox: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()

    def take(self, message: dict[str, Any]) -> None:
        """Carry a message that was sent to the member."""
        if not self.smooth:
            self.waiting.append(message)
            return
        self.past.append(message)
        for seconds in self._layer.faults.fates(self._layer.dice):
            if seconds:
                asyncio.get_running_loop().call_later(seconds, self._arrive, message)
            else:
                self._arrive(message)

    def _arrive(self, message: dict[str, Any]) -> None:
        # Its own copy: receivers of one process must not see what another has made of it.
        self._inbox.put_nowait(dict(message))

    def deliver(self, pick: int) -> None:
        """Deliver one of the messages under way, not always the oldest."""
        if self.waiting:
            message = self.waiting.pop(pick % len(self.waiting))
            self.past.append(message)
            self._arrive(message)

    def repeat(self, pick: int) -> None:
        """Deliver a message a second time."""
        if self.past:
            self._arrive(self.past[pick % len(self.past)])

    def lose(self) -> None:
        """Lose everything that is under way."""
        self.waiting.clear()

    def fail(self) -> None:
        """Let whoever receives here meet an error."""
        self._inbox.put_nowait(ConnectionError(AWAY))

    async def receive(self) -> dict[str, Any]:
        """Wait for what was delivered."""
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message


class FaultyLayer:
    """A channel layer whose every member hangs on a :class:`Link` of its own; without faults at first.

    A seed makes the same decisions in the same order, whatever the times are.
    """

    def __init__(self, seed: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.dice = random.Random(seed)
        self.links: dict[str, Link] = {}
        self.smooth = True
        self.away = False
        self._members: dict[str, set[str]] = {}

    def go_away(self) -> None:
        """Fail at everything, as a Redis that was killed; those who listen notice at once."""
        self.away = True
        self._members.clear()
        for link in self.links.values():
            link.fail()

    def come_back(self) -> None:
        """Serve again; nobody is a member of any group."""
        self.away = False

    def _must_be_there(self) -> None:
        if self.away:
            raise ConnectionError(AWAY)

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a new channel, with its link."""
        self._must_be_there()
        name = f"{prefix}.{len(self.links)}"
        self.links[name] = Link(self)
        return name

    async def group_add(self, group: str, channel: str) -> None:
        """Make the channel a member of the group."""
        self._must_be_there()
        self._members.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Make the channel a member no longer."""
        self._must_be_there()
        self._members.get(group, set()).discard(channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every member."""
        self._must_be_there()
        for channel in sorted(self._members.get(group, ())):
            self.links[channel].take(message)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to one channel."""
        self._must_be_there()
        if channel in self.links:
            self.links[channel].take(message)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Wait for the channel's next message."""
        self._must_be_there()
        return await self.links[channel].receive()


@contextmanager
def default_layer(layer: Any) -> Iterator[None]:
    """Make ``layer`` the process's default; afterwards it is what the settings say again."""
    channel_layers.set("default", layer)
    try:
        yield
    finally:
        channel_layers.backends.pop("default", None)
