"""Hands positioned events to the channel layer from any thread of any process, without waiting.

Where a hub lives in this process, the send runs on its loop: the in-memory layer must never be touched
from another thread. Elsewhere one thread with one long-lived loop sends: ``async_to_sync`` would make a
thread, a loop and a Redis connection for every call.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections import deque

from realtime import layer, metrics
from realtime.events import LogEvent

logger = logging.getLogger("realtime.publisher")

#: Events that may wait; more are dropped, for every hub finds them in the log within its interval.
LIMIT = 10_000
#: Events taken at a time.
BATCH = 500
#: Seconds a process that ends waits for what is still to be sent.
FLUSH_SECONDS = 2.0


class Publisher:
    """A bounded queue of events and the one task or thread that sends them."""

    def __init__(self) -> None:
        self._queue: deque[LogEvent] = deque()
        self._lock = threading.Lock()
        self._home: asyncio.AbstractEventLoop | None = None
        self._sending: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._failing = False
        #: Events that were not rung for, since the queue was full.
        self.dropped = 0

    def settle_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Send on ``loop`` from now on, the one on which this process's hub lives."""
        # A loop that was closed in the middle of a send has a task that will never end.
        self._home, self._sending = loop, None

    def publish(self, events: list[LogEvent]) -> None:
        """Enqueue ``events`` and return at once. Never raises: the events are safe in the log."""
        home = self._home
        if home is not None and home.is_closed():
            home = self._home = None
        if home is None and not layer.crosses_processes():
            return
        with self._lock:
            room = LIMIT - len(self._queue)
            dropped = max(0, len(events) - room)
            self.dropped += dropped
            self._queue.extend(events[:room])
            self._idle.clear()
            if home is None and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="realtime-publisher", daemon=True)
                self._thread.start()
        if dropped:
            metrics.NOT_RUNG.inc(dropped)
        if home is None:
            self._wake.set()
            return
        try:
            home.call_soon_threadsafe(self._send_at_home)
        except RuntimeError:
            logger.debug("The hub's loop closed while events were published.")

    def _send_at_home(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        while True:
            with self._lock:
                events = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                if not events:
                    self._idle.set()
                    return
            try:
                await layer.send(events)
                self._failing = False
            except Exception as error:
                metrics.SEND_FAILURES.inc()
                # Said once per outage; the log carries what was not rung for.
                if not self._failing:
                    logger.warning("The channel layer cannot be reached: %r", error)
                self._failing = True

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                self._wake.wait()
                self._wake.clear()
                runner.run(self._drain())

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything has been sent, at most so long; tell whether it has."""
        return self._idle.wait(seconds)


_publisher = Publisher()


def publish(events: list[LogEvent]) -> None:
    """Ring for ``events``, which the log holds already."""
    if events:
        _publisher.publish(events)


def settle_on(loop: asyncio.AbstractEventLoop | None) -> None:
    """Send from this process's hub's loop from now on."""
    _publisher.settle_on(loop)


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Wait until everything has been sent; for the end of a process and for tests."""
    return _publisher.flush(seconds)


def _fork() -> None:
    """A forked child (Celery prefork) has neither the thread nor the parent's queue."""
    global _publisher
    _publisher = Publisher()


os.register_at_fork(after_in_child=_fork)
atexit.register(lambda: _publisher._thread is not None and _publisher.flush())
