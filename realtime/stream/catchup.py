"""What a stream has missed, read step by step: from the hub's ring, or from the log if it is older."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from realtime import metrics
from realtime.conf import conf
from realtime.events import Viewer
from realtime.exceptions import UNAVAILABLE, Refused
from realtime.hub import Hub
from realtime.protocol.delivery import Delivery
from realtime.replay import PAGE, Page

EXPIRED, UNKNOWN_POSITION, TOO_FAR_BEHIND = "expired", "unknown_position", "too_far_behind"


class Step(NamedTuple):
    """The next events, in order, and the position up to which that is everything."""

    deliveries: list[Delivery]
    upto: int


class CatchUp:
    """One stream's way back to its hub. ``active`` from falling behind until it has caught up."""

    def __init__(self, hub: Hub, wake: Callable[[], None], limit: int | None = None) -> None:
        self.active = False
        self._own_limit = limit
        self._hub = hub
        self._wake = wake
        self._counted = False
        self._from_elsewhere = False
        self._reading: asyncio.Task[Page | None] | None = None

    @property
    def _limit(self) -> int:
        """How many events may have been missed: ``REPLAY_LIMIT``, or less."""
        limit: int = conf.REPLAY_LIMIT
        return limit if self._own_limit is None else min(limit, self._own_limit)

    @property
    def reading(self) -> bool:
        """Whether the database has been asked and its answer will wake the stream."""
        return self._reading is not None

    def begin(self) -> None:
        """The stream buffers again from now on; what came before is to be read."""
        self.active = True

    def resume(self) -> None:
        """The cursor is the client's own: count what it missed, and let the hub catch up with it."""
        self._from_elsewhere, self._counted = True, False

    def end(self) -> None:
        """The stream has caught up, or starts afresh."""
        self.active = self._counted = self._from_elsewhere = False
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def step(self, cursor: int, keys: tuple[str, ...], viewer: Viewer) -> Step | str | None:
        """Return what comes after ``cursor``, the reason for a reset, or None.

        None says that the database has been asked; its answer wakes the stream, which goes on answering
        its client meanwhile. Raises ``Refused`` when the database cannot answer.
        """
        hub = self._hub
        if self._reading is not None:
            if not self._reading.done():
                return None
            reading, self._reading = self._reading, None
            if (failure := reading.exception()) is not None:
                raise Refused(UNAVAILABLE) from failure
            if (page := reading.result()) is not None:
                return self._from_log(page, cursor, viewer)
            if cursor > hub.position:
                return UNKNOWN_POSITION
        if self._from_elsewhere and cursor > hub.position:
            # The client was served by a faster process: this one catches up first.
            self._read(hub.check(until=cursor))
            return None
        self._from_elsewhere = False
        found = hub.ring.after(cursor, keys, PAGE + 1)
        if found is None:
            count = 0 if self._counted else self._limit
            self._read(hub.reader.page(cursor, keys, viewer, count))
            return None
        if not self._counted and self._is_too_much(cursor, keys, viewer):
            return TOO_FAR_BEHIND
        self._counted = True
        metrics.REPLAYS.labels(metrics.RING).inc()
        upto = found[PAGE - 1].position if len(found) > PAGE else hub.position
        return Step([d for d in found[:PAGE] if viewer.sees(d.event)], upto)

    def _read(self, reading: Coroutine[Any, Any, Page | None]) -> None:
        self._reading = asyncio.get_running_loop().create_task(reading)
        self._reading.add_done_callback(lambda _: self._wake())

    def _from_log(self, page: Page, cursor: int, viewer: Viewer) -> Step | str:
        if page.floor > cursor:
            return EXPIRED
        if not self._counted and page.missed > self._limit:
            return TOO_FAR_BEHIND
        self._counted = True
        metrics.REPLAYS.labels(metrics.LOG).inc()
        # The log may be ahead of this hub; what lies beyond it comes through the buffer.
        upto = min(page.upto, self._hub.position)
        return Step([Delivery(e) for e in page.events if e.position <= upto and viewer.sees(e)], upto)

    def _is_too_much(self, cursor: int, keys: tuple[str, ...], viewer: Viewer) -> bool:
        limit, ring = self._limit, self._hub.ring
        if ring.count_after(cursor, keys) <= limit:
            return False
        # That counted an event once per key, and those that are not for this viewer.
        return len([d for d in ring.after(cursor, keys) or () if viewer.sees(d.event)]) > limit
