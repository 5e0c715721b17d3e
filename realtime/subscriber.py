"""One client as the hub sees it: a bounded buffer that is filled without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime.events import Viewer
from realtime.protocol.delivery import Delivery


class Subscriber:
    """Takes what the hub offers. When the buffer is full it is *behind*: it must go back to the log."""

    __slots__ = (
        "_buffer",
        "_bytes",
        "_max_bytes",
        "_max_events",
        "_waiter",
        "_woken",
        "behind",
        "busy_since",
        "keys",
        "on_stuck",
        "overflows",
        "viewer",
    )

    def __init__(self, viewer: Viewer, max_events: int, max_bytes: int) -> None:
        self.viewer = viewer
        self.keys: set[str] = set()
        self.behind = False
        #: How often the client was too slow for its buffer.
        self.overflows = 0
        #: Loop time since when the transport has been writing, or None; the hub ends a stuck one.
        self.busy_since: float | None = None
        self.on_stuck: Callable[[], None] | None = None
        self._buffer: list[Delivery] = []
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._waiter: asyncio.Future[None] | None = None
        self._woken = False

    def offer(self, delivery: Delivery) -> None:
        """Buffer a delivery, or fall behind; never waits."""
        if self.behind:
            return
        if len(self._buffer) >= self._max_events or self._bytes + delivery.size > self._max_bytes:
            self.overflows += 1
            self.fall_behind()
            return
        self._buffer.append(delivery)
        self._bytes += delivery.size
        if self._waiter is not None:
            self.wake()

    def take(self) -> list[Delivery]:
        """Return what is buffered, and empty the buffer."""
        taken, self._buffer, self._bytes = self._buffer, [], 0
        return taken

    @property
    def empty(self) -> bool:
        """Whether nothing waits, and nothing was left out."""
        return not self._buffer and not self.behind

    def fall_behind(self) -> None:
        """Drop the buffer: everything after the cursor will be read again."""
        self.behind = True
        self._buffer, self._bytes = [], 0
        self.wake()

    def catch_up(self) -> None:
        """Buffer again from now on; the caller reads what came before."""
        self.behind = False
        self._buffer, self._bytes = [], 0

    def wake(self) -> None:
        """Let :meth:`wait` return, the present one or the next."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, *, buffered: bool = True, behind: bool = True) -> None:
        """Wait for a delivery or :meth:`wake`; its caller arms a timer that wakes it in the end.

        Who catches up does not wait for what is ``buffered``: it may take that only later, and would
        come back at once, again and again, without letting the loop read what it is waiting for. Nor does
        who may not catch up yet wait for being ``behind``.
        """
        if not ((buffered and self._buffer) or (behind and self.behind) or self._woken):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._woken = False
