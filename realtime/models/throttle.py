"""At most one written report per interval and task, and never a lost last value."""

from __future__ import annotations

import asyncio
import atexit
import heapq
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections, router, transaction

from realtime.conf import conf
from realtime.exceptions import RealtimeError, TaskCancelled

if TYPE_CHECKING:
    from realtime.models.task import Task

logger = logging.getLogger("realtime.report")

#: Seconds until a report that the database did not take is tried again.
RETRY_SECONDS = 1.0
#: Seconds a process that ends waits for what is still to be written; and how many tasks it names then.
FLUSH_SECONDS, NAMED = 5.0, 10


class Waiting:
    """What one task instance was told and has not written yet; a timer may write it in its own thread."""

    def __init__(self, task: Task) -> None:
        self.model, self.pk = type(task), task.pk
        # Never held during a query: the timer may wait for a row that the worker's transaction has
        # locked, and the worker must be able to report meanwhile. The row's lock orders the writes.
        self._lock = threading.Lock()
        self._written_at = float("-inf")
        self._due_on: _Timer | None = None
        self._raise: Exception | None = None

    def flush(self) -> None:
        """Write what waits, in whatever thread this is."""
        raise NotImplementedError

    def write_later(self, seconds: float) -> None:
        """Let the timer write what waits, after ``seconds``."""
        # A forked child inherits this object, but not the timer that it waits for.
        timer = _timer
        with self._lock:
            waits, self._due_on = self._due_on is timer, timer
        if not waits:
            timer.call_later(seconds, self)

    def take_error(self) -> Exception | None:
        """Return, once, what the last attempt in another thread has met."""
        with self._lock:
            error, self._raise = self._raise, None
            return error


class Throttle(Waiting):
    """The reports of one task instance that have not been written yet."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        # Weakly: the task knows its throttle, and whoever drops the task gives up its lease at once.
        self._task = weakref.ref(task)
        self._values: dict[str, Any] = {}
        #: What ``advance`` counts on from; None while the field is deferred.
        self._done: int | None = task.__dict__.get("done")
        self._warned = False

    def advance(self, more: int) -> bool:
        """Count so many more as done, if the timer is going to write anyway; tell whether it is.

        The road of a loop's step, but for four a second.
        """
        with self._lock:
            if self._due_on is not _timer or self._done is None:
                return False
            self._done += more
            self._values["done"] = self._done
            self._values.pop("progress", None)
            return True

    def offer(self, task: Task, values: dict[str, Any], more: int = 0) -> None:
        """Take values that ``task`` reports, and how many ``more`` are done.

        They are written now if the interval has passed, else later; on an event loop always later, by the
        timer, since a query would hold the loop up.
        """
        using = router.db_for_write(type(task), instance=task)
        inside = connections[using].in_atomic_block
        if inside and not self._warned:
            self._warned = True
            logger.warning(
                "report() inside atomic(): nobody sees the progress of %s before the commit.",
                self.pk,
            )
        first = task.done if more and self._done is None else 0
        with self._lock:
            if more:
                values = {**values, "done": (self._done or first) + more}
            if values.keys() & {"done", "total"} and "progress" not in values:
                # An older percentage must not stand against a newer count.
                self._values.pop("progress", None)
            self._values.update(values)
            self._done = values.get("done", self._done)
            wait = self._written_at + conf.PROGRESS_INTERVAL - time.monotonic()
        if (error := self.take_error()) is not None:
            raise error
        if wait <= 0 and not _on_event_loop():
            self._write(task)
        elif inside:
            # Another thread would wait for the row that this transaction has locked.
            self._flush_on_commit(using)
        else:
            self.write_later(max(wait, 0))

    def _flush_on_commit(self, using: str) -> None:
        """Write what waits after the commit: once, not once for each of a million steps."""
        connection = connections[using]
        for last in connection.run_on_commit[-1:]:
            if last[1] == self.flush and last[0] <= set(connection.savepoint_ids):
                return
        transaction.on_commit(self.flush, using=using, robust=True)

    def flush(self) -> None:
        """Write what waits, in whatever thread this is; the worker learns of trouble at its next report."""
        with self._lock:
            self._due_on = None
            if not self._values:
                return
        try:
            # Not through the worker's own instance, which its thread may be using now.
            task = self.model._base_manager.get(pk=self.pk)
            task._throttle = self
            self._write(task)
        except (RealtimeError, self.model.DoesNotExist) as error:
            if isinstance(error, TaskCancelled) and (worker := self._task()) is not None:
                worker._working = True
            self._raise = error

    def _write(self, task: Task) -> None:
        self._written_at = time.monotonic()
        task.write_report()

    @contextmanager
    def unwritten(self) -> Iterator[Callable[[], dict[str, Any]]]:
        """Hand over a function that takes the values to be written, once their row is locked.

        When the block fails they are kept: a later report, or the terminal change, carries them.
        """
        taken: dict[str, Any] = {}

        def take() -> dict[str, Any]:
            with self._lock:
                taken.update(self._values)
                self._values = {}
            return taken

        try:
            yield take
        except BaseException:
            with self._lock:
                self._values = {**taken, **self._values}
            raise


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Timer:
    """One thread for all throttles of the process.

    It ends when nothing is due, and keeps no database connection while nothing is due soon.
    """

    IDLE = 1.0

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Waiting]] = []
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._count = 0
        self._writing: Waiting | None = None
        self._ending = False

    def call_later(self, seconds: float, throttle: Waiting) -> None:
        """Flush ``throttle`` after ``seconds``."""
        with self._condition:
            self._count += 1
            heapq.heappush(self._heap, (time.monotonic() + seconds, self._count, throttle))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="realtime-report", daemon=True)
                self._thread.start()
            self._condition.notify()

    def _next(self) -> Waiting | None:
        with self._condition:
            while True:
                wait = self._heap[0][0] - time.monotonic() if self._heap else float("inf")
                if wait <= 0 or (self._ending and self._heap):
                    self._writing = heapq.heappop(self._heap)[2]
                    return self._writing
                self._writing = None
                if self._ending:
                    self._thread = None
                    return None
                if self._condition.wait(min(wait, self.IDLE)) or wait <= self.IDLE:
                    continue
                if not self._heap:
                    self._thread = None
                    return None
                connections.close_all()

    def _run(self) -> None:
        try:
            while (throttle := self._next()) is not None:
                try:
                    throttle.flush()
                except Exception:
                    connections.close_all()
                    if self._ending:
                        logger.warning("A report of task %s was lost.", throttle.pk, exc_info=True)
                        continue
                    # The database is away: tried again, unless a later write carries the values.
                    logger.warning("A report of task %s was not written.", throttle.pk, exc_info=True)
                    throttle.write_later(RETRY_SECONDS)
        finally:
            connections.close_all()

    def flush_all(self) -> None:
        """Write everything that waits, within :data:`FLUSH_SECONDS`; at the end of the process.

        By the thread that waits for it: a database that does not answer can keep that one, and an ending
        process may start no other.
        """
        with self._condition:
            thread, self._ending = self._thread, True
            self._condition.notify()
        if thread is None:
            return
        thread.join(FLUSH_SECONDS)
        if not thread.is_alive():
            return
        with self._condition:
            late = [self._writing, *(entry[2] for entry in self._heap)]
        lost = {str(waiting.pk): None for waiting in late if waiting is not None}
        text = "Reports of %d tasks were lost, the database does not answer. The first of them: %s"
        logger.warning(text, len(lost), ", ".join([*lost][:NAMED]))


_timer = _Timer()
atexit.register(lambda: _timer.flush_all())


def _fork() -> None:
    """A forked child has neither the thread nor a right to the parent's reports."""
    global _timer
    _timer = _Timer()


os.register_at_fork(after_in_child=_fork)
