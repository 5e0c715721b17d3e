"""The real Redis layer, and behind it a wire that loses, repeats, delays, reorders, or brings nothing."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress
from dataclasses import fields
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

from realtime.testing.layer import Faults
from tests.faults.orders import Orders

#: The environment: the file of the orders, and the name of this process in them.
ORDERS, NAME = "FAULT_ORDERS", "FAULT_NAME"
#: The key under which a message says who sent it.
SENDER = "fault_sender"
#: The orders that are faults by chance.
FAULTS = [field.name for field in fields(Faults)]


class Wire:
    """The way of one channel's messages from Redis to whoever receives them here."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        self.pump: asyncio.Task[None] | None = None
        #: It stays connected, and nothing comes any more, as when the broker has forgotten it.
        self.forgotten = False


class FaultyLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """Sends and hears through Redis; what is ordered happens to what it hears.

    The orders are ``drop``, ``duplicate`` and ``reorder`` (shares of the messages), ``delay`` (seconds),
    ``deaf`` (names of processes that hear nothing), ``partition`` (names of those that hear only
    themselves), and ``forget`` (names and a number: those lose the channel they have, once a number).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._name = os.environ.get(NAME, "")
        self._orders = Orders(os.environ[ORDERS])
        self._wires: dict[str, Wire] = {}
        self._forgets = 0
        self._dice = random.Random()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to every member, and say who it is from."""
        await self._get_layer().group_send(group, {**message, SENDER: self._name})

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message that the wire let through."""
        wire = self._wires.setdefault(channel, Wire())
        if wire.pump is None:
            wire.pump = asyncio.create_task(self._pump(channel, wire))
        try:
            message = await wire.queue.get()
        except BaseException:
            # As the layer itself does: who no longer waits has given the channel up.
            del self._wires[channel]
            wire.pump.cancel()
            with suppress(asyncio.CancelledError):
                await wire.pump
            raise
        if isinstance(message, Exception):
            del self._wires[channel]
            raise message
        return message

    async def _pump(self, channel: str, wire: Wire) -> None:
        inner = self._get_layer()
        try:
            while True:
                self._carry(await inner.receive(channel), wire)
        except Exception as error:
            wire.queue.put_nowait(error)

    def _carry(self, message: dict[str, Any], wire: Wire) -> None:
        sender = message.pop(SENDER, "")
        orders = self._orders.read()
        self._forget(orders.get("forget"))
        if wire.forgotten or self._name in orders.get("deaf", ()):
            return
        if sender != self._name and self._name in orders.get("partition", ()):
            return
        faults = Faults(**{name: orders[name] for name in FAULTS if name in orders})
        for seconds in faults.fates(self._dice):
            if seconds:
                asyncio.get_running_loop().call_later(seconds, wire.queue.put_nowait, dict(message))
            else:
                wire.queue.put_nowait(dict(message))

    def _forget(self, order: dict[str, Any] | None) -> None:
        if order and order["number"] > self._forgets and self._name in order["names"]:
            self._forgets = order["number"]
            for wire in self._wires.values():
                wire.forgotten = True
