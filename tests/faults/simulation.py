"""A deterministic world for the delivery loop: a loop with virtual time, and a layer that misbehaves."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from channels.layers import channel_layers


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, its virtual clock jumps to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, or let the time pass."""
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which seconds cost nothing and every run of a schedule is the same.

    A database call runs for real, in its thread, while the loop stands still; it begins and its
    answer arrives after as many virtual seconds as :attr:`delays` say, so that a slow query overlaps
    with whatever happens meanwhile.
    """

    def __init__(self) -> None:
        self._clock = _Selector()
        self.delays: Iterator[float] = itertools.repeat(0.0)
        #: Database calls that fail from now on.
        self.failures = 0
        #: How many there were, and how many at a time at most.
        self.calls = self.most = 0
        self._under_way = 0
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass, and everything happen that is due in it."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call ``func`` in the executor, at a moment and with an answer at a moment of the schedule."""
        assert executor is not None
        self.calls += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        answer = self.create_future()
        self.call_later(next(self.delays), self._execute, executor, func, args, answer)
        return answer

    def _execute(
        self, executor: Executor, func: Callable[..., Any], args: tuple[Any, ...], answer: asyncio.Future[Any]
    ) -> None:
        if answer.cancelled():
            self._under_way -= 1
            return
        future = executor.submit(func, *args)
        error = future.exception()
        if self.failures:
            self.failures -= 1
            error = ConnectionError("The simulated database is away.")
        tell = answer.set_exception if error else answer.set_result
        value = error or future.result()

        def arrive() -> None:
            self._under_way -= 1
            if not answer.done():
                tell(value)

        self.call_later(next(self.delays), arrive)


class Link:
    """The way from the layer to one process; unless it is smooth, the schedule moves each message."""

    def __init__(self, smooth: bool) -> None:
        self.smooth = smooth
        self.waiting: list[dict[str, Any]] = []
        self.past: list[dict[str, Any]] = []
        self._inbox: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()

    def take(self, message: dict[str, Any]) -> None:
        """Carry a message that was sent to the group."""
        self.waiting.append(message)
        if self.smooth:
            self.deliver(0)

    def deliver(self, pick: int) -> None:
        """Deliver one of the messages under way, not always the oldest."""
        if self.waiting:
            message = self.waiting.pop(pick % len(self.waiting))
            self.past.append(message)
            self._inbox.put_nowait(message)

    def repeat(self, pick: int) -> None:
        """Deliver a message a second time."""
        if self.past:
            self._inbox.put_nowait(self.past[pick % len(self.past)])

    def lose(self) -> None:
        """Lose everything that is under way."""
        self.waiting.clear()

    def fail(self) -> None:
        """Let whoever receives here meet an error."""
        self._inbox.put_nowait(ConnectionError("The simulated layer is away."))

    async def receive(self) -> dict[str, Any]:
        """Wait for what was delivered."""
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message


class FaultyLayer:
    """A channel layer whose every member hangs on a :class:`Link` of its own."""

    def __init__(self) -> None:
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

    def _must_be_there(self) -> None:
        if self.away:
            raise ConnectionError("The simulated layer is away.")

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return the name of a new channel, with its link."""
        self._must_be_there()
        name = f"{prefix}.{len(self.links)}"
        self.links[name] = Link(self.smooth)
        return name

    async def group_add(self, group: str, channel: str) -> None:
        """Make the channel a member of the group."""
        self._must_be_there()
        self._members.setdefault(group, set()).add(channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every member."""
        self._must_be_there()
        for channel in sorted(self._members.get(group, ())):
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
