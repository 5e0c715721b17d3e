"""At most one written report per interval and task, and never a lost last value."""

from __future__ import annotations

import atexit
import heapq
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections, router, transaction

from realtime.conf import conf
from realtime.exceptions import RealtimeError, TaskCancelled

if TYPE_CHECKING:
    from realtime.models.task import Task

logger = logging.getLogger("realtime.report")


class Throttle:
    """The reports of one task instance that have not been written yet."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._lock = threading.RLock()
        self._values: dict[str, Any] = {}
        self._written_at = float("-inf")
        self._due = False
        self._raise: Exception | None = None
        self._warned = False

    def offer(self, values: dict[str, Any]) -> None:
        """Take reported values: write them now if the interval has passed, else later."""
        using = router.db_for_write(type(self.task), instance=self.task)
        inside = connections[using].in_atomic_block
        if inside and not self._warned:
            self._warned = True
            logger.warning(
                "report() inside atomic(): nobody sees the progress of %s before the commit.",
                self.task.pk,
            )
        with self._lock:
            self._values.update(values)
            if self._raise is not None:
                error, self._raise = self._raise, None
                raise error
            wait = self._written_at + conf.PROGRESS_INTERVAL - time.monotonic()
            if wait <= 0:
                self._write(self.task)
            elif inside:
                # Another thread would wait for the row that this transaction has locked.
                transaction.on_commit(self.flush, using=using, robust=True)
            elif not self._due:
                self._due = True
                _timer.call_later(wait, self)

    def flush(self) -> None:
        """Write what waits, in whatever thread this is; the worker learns of trouble at its next report."""
        with self._lock:
            self._due = False
            if not self._values:
                return
            model = type(self.task)
            try:
                # Not through the worker's own instance, which its thread may be using now.
                self._write(model._base_manager.get(pk=self.task.pk))
            except (RealtimeError, model.DoesNotExist) as error:
                self.task._working = self.task._working or isinstance(error, TaskCancelled)
                self._raise = error

    def _write(self, task: Task) -> None:
        self._written_at = time.monotonic()
        # Kept when this fails: a later report, or the terminal change, carries them.
        task.write_report(self._values)
        self._values = {}

    @contextmanager
    def settled(self) -> Iterator[dict[str, Any]]:
        """Hold back the timer, and hand over the values that the caller's own write must carry."""
        with self._lock:
            yield self._values
            self._values = {}


class _Timer:
    """One thread for all throttles of the process; it ends when nothing is due for a while."""

    IDLE = 5.0

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Throttle]] = []
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._count = 0

    def call_later(self, seconds: float, throttle: Throttle) -> None:
        """Flush ``throttle`` after ``seconds``."""
        with self._condition:
            self._count += 1
            heapq.heappush(self._heap, (time.monotonic() + seconds, self._count, throttle))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="realtime-report", daemon=True)
                self._thread.start()
            self._condition.notify()

    def _next(self) -> Throttle | None:
        with self._condition:
            while True:
                wait = self._heap[0][0] - time.monotonic() if self._heap else self.IDLE
                if self._heap and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                if not self._condition.wait(wait) and not self._heap:
                    self._thread = None
                    return None

    def _run(self) -> None:
        try:
            while (throttle := self._next()) is not None:
                try:
                    throttle.flush()
                except Exception:
                    # The database is away: the value goes with the next report or the last change.
                    logger.exception("A report of task %s was not written.", throttle.task.pk)
                    connections.close_all()
        finally:
            connections.close_all()

    def flush_all(self) -> None:
        """Write everything that waits; at the end of the process."""
        with self._condition:
            due, self._heap = [entry[2] for entry in self._heap], []
        for throttle in due:
            throttle.flush()


_timer = _Timer()
atexit.register(lambda: _timer.flush_all())


def _fork() -> None:
    """A forked child has neither the thread nor a right to the parent's reports."""
    global _timer
    _timer = _Timer()


os.register_at_fork(after_in_child=_fork)
