"""A process's one subscription to the channel layer: it joins, hears, and notices when it has gone deaf.

A subscription can be alive and bring nothing: the broker has forgotten it, or a message ended it. So
the ear rings for itself now and then, through the group as everybody does, and listens for that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any

from channels.layers import get_channel_layer

from realtime import metrics
from realtime.conf import conf
from realtime.layer import DEADLINE, GROUP

logger = logging.getLogger("realtime.layer")

#: Seconds between joins: the in-memory and the Redis layer forget members after a day.
REJOIN = 3600.0
#: The type of the message that an ear sends to itself.
PROBE = "realtime.probe"
#: A probe goes out with every so many checks of the log.
PROBE_EVERY = 5
#: Seconds in which a probe must be back.
PROBE_DEADLINE = 2.0

#: What can be wrong with the layer, as the ear finds it.
AWAY = "The channel layer cannot be reached."
DEAF = "The channel layer takes messages and brings none back."
SLOW = "The channel layer brings messages, but late."


class Ear:
    """A process's one subscription: joins the group, hears messages, and joins again when it must."""

    def __init__(self, hear: Callable[[dict[str, Any]], None], layer: Any = None) -> None:
        self._hear = hear
        self._layer = layer
        self._channel = ""
        self._hearing: asyncio.Timeout | None = None
        self._id = uuid.uuid4().hex
        self._number = 0
        self._returned = asyncio.Event()
        self._heard = 0
        self.joined = asyncio.Event()
        #: Set after the first attempt to join, whether it succeeded or not.
        self.tried = asyncio.Event()
        #: Why the layer cannot be relied on; empty while the last probe came back.
        self.fault = ""
        #: Seconds that the last probe took which came back.
        self.round_trip: float | None = None

    @property
    def layer(self) -> Any:
        """The channel layer, or None on a site that has none."""
        return self._layer or get_channel_layer()

    async def join(self) -> None:
        """Join the group; raises what the layer raises, and ``TimeoutError``."""
        layer = self.layer
        if layer is None:
            return
        async with asyncio.timeout(DEADLINE):
            if not self._channel:
                # Rung first: a layer that is away would keep half of every channel asked for.
                await layer.group_send(GROUP, self._probe())
                self._channel = await layer.new_channel()
            await layer.group_add(GROUP, self._channel)
        self.joined.set()
        metrics.JOINS.inc()

    async def listen(self) -> None:
        """Hear messages for ever; a layer that fails is joined again with a growing delay."""
        delay = 0.1
        while True:
            hearing = None
            try:
                if not self.joined.is_set():
                    await self.join()
                self.tried.set()
                layer = self.layer
                if layer is None:
                    return
                # Without an end; a probe that stays away sets one.
                async with asyncio.timeout(None) as hearing:
                    self._hearing = hearing
                    while True:
                        self._take(await layer.receive(self._channel))
                        delay = 0.1
            except Exception:
                self._hearing = None
                if hearing is not None and hearing.expired():
                    logger.warning("The channel layer is silent; joining it anew.")
                elif self.joined.is_set() or delay == 0.1:
                    logger.warning("The channel layer failed; the log carries on.", exc_info=True)
                self.tried.set()
                if self.joined.is_set():
                    await self._leave()
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _leave(self) -> None:
        """Give the channel up, and the place in the group: layers remember what they subscribed to."""
        self.joined.clear()
        channel, self._channel = self._channel, ""
        try:
            async with asyncio.timeout(DEADLINE):
                await self.layer.group_discard(GROUP, channel)
        except Exception:
            logger.debug("The group could not be left.", exc_info=True)

    def _take(self, message: dict[str, Any]) -> None:
        self._heard += 1
        if message.get("type") != PROBE:
            self._hear(message)
        elif (message.get("ear"), message.get("number")) == (self._id, self._number):
            self._returned.set()

    def _probe(self) -> dict[str, Any]:
        return {"type": PROBE, "ear": self._id, "number": self._number}

    async def stay(self) -> None:
        """Renew the membership now and then, for the layers that forget it."""
        while True:
            await asyncio.sleep(REJOIN)
            try:
                await self.join()
            except Exception:
                logger.warning("The channel layer could not be joined again.", exc_info=True)

    async def watch(self) -> None:
        """Probe the layer for ever."""
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_EVERY * conf.LOG_CHECK_INTERVAL)

    async def probe(self) -> None:
        """Ring for ourselves; when it is not heard, join anew, for the log carries meanwhile."""
        layer, clock = self.layer, asyncio.get_running_loop().time
        if layer is None:
            return
        if not self.joined.is_set():
            self.fault = AWAY
            return
        self._number += 1
        self._returned.clear()
        begin, heard, fault = clock(), self._heard, AWAY
        try:
            async with asyncio.timeout(PROBE_DEADLINE):
                await layer.group_send(GROUP, self._probe())
                fault = DEAF
                await self._returned.wait()
        except Exception:
            metrics.PROBES_LOST.inc()
            # What it brings meanwhile stands in a queue before the probe.
            self.fault = SLOW if fault == DEAF and self._heard > heard else fault
            # A layer that is away comes back by itself, or fails at ``receive``.
            if self.fault == DEAF and self._hearing is not None:
                hearing, self._hearing = self._hearing, None
                hearing.reschedule(clock())
        else:
            self.fault, self.round_trip = "", clock() - begin
