"""Lines on their way into the database: many in one transaction, each numbered and an event, none lost.

A worker may tell a thousand lines a second. So they wait, as reports do: the first is written at once; the
others together, when ``PROGRESS_INTERVAL`` has passed, when there are many, or with whatever else of the
task is written, before it. A task's end is an event after its last line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import DatabaseError, connections, router, transaction

from realtime import log
from realtime.conf import conf
from realtime.events import FINAL
from realtime.exceptions import IllegalTransition, RealtimeError
from realtime.models.queryset import lock_rows
from realtime.models.task_log import Line, TaskLog
from realtime.models.throttle import RETRY_SECONDS, Waiting, logger

if TYPE_CHECKING:
    from realtime.models.task import Task

#: Lines, and characters, that wait at most; the next line's writer writes them first.
MANY, LONG = 500, 1_000_000


class Lines(Waiting):
    """The lines of one task instance that have not been written yet, in their order."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._using = router.db_for_write(type(task), instance=task)
        self._waiting: list[Line] = []
        self._length = 0
        self._process = os.getpid()

    def offer(self, line: Line) -> None:
        """Take a line: write it now if the interval has passed, else later.

        Raises ``IllegalTransition`` when the task is finished, perhaps since an earlier line; and a database
        error when so many lines wait that no more can be taken.
        """
        inside = connections[self._using].in_atomic_block
        if self._process != os.getpid():
            # What was waiting at a fork is the parent's to write.
            self._waiting, self._length, self._process = [], 0, os.getpid()
        if (error := self.take_error()) is not None:
            raise error
        if len(self._waiting) >= MANY or self._length >= LONG:
            self._write()
        with self._lock:
            self._waiting.append(line)
            self._length += len(line.text)
        wait = self._written_at + conf.PROGRESS_INTERVAL - time.monotonic()
        if inside:
            # Another thread might wait for the row that this transaction has locked; and to lock it
            # here, for a line, would keep everybody else from the task until the commit.
            transaction.on_commit(self.flush, using=self._using, robust=True)
        elif wait > 0:
            self.write_later(wait)
        else:
            try:
                self._write()
            except DatabaseError as failure:
                # A line is no reason to end the work, nor to wait for the database at each further one.
                logger.warning("Lines of task %s could not be written yet: %r", self.pk, failure)
                self._written_at = time.monotonic() + RETRY_SECONDS - conf.PROGRESS_INTERVAL
                self.write_later(RETRY_SECONDS)

    def flush(self) -> None:
        """Write what waits, in whatever thread this is; the worker learns of trouble at its next line."""
        with self._lock:
            self._due_on = None
            if not self._waiting:
                return
        try:
            self._write()
        except (RealtimeError, self.model.DoesNotExist) as error:
            self._raise = error

    def _write(self) -> None:
        """Write what waits, or drop what nobody will ever take."""
        try:
            self._write_now()
        except (RealtimeError, self.model.DoesNotExist) as error:
            with self._lock:
                refused, self._waiting, self._length = len(self._waiting), [], 0
            logger.warning("%d lines of task %s were refused: %s", refused, self.pk, error)
            raise

    def _write_now(self) -> None:
        self._written_at = time.monotonic()
        with self.unwritten() as put, transaction.atomic(using=self._using):
            rows = lock_rows(self.model, [self.pk], self._using)
            if not rows:
                raise self.model.DoesNotExist(f"Task {self.pk} is gone.")
            if rows[0].status in FINAL:
                raise IllegalTransition(message=f"A {rows[0].status} task has no further lines.")
            put(rows[0])

    @contextmanager
    def unwritten(self) -> Iterator[Callable[[Task], None]]:
        """Hand over a function that writes what waits, once the task's row is locked.

        When the block fails the lines wait on: a later write, or the terminal change, carries them.
        """
        taken: list[Line] = []

        def put(row: Task) -> None:
            with self._lock:
                new, self._waiting, self._length = self._waiting, [], 0
                taken.extend(new)
            if new:
                self._written_at = time.monotonic()
                store(row, new)

        try:
            yield put
        except BaseException:
            with self._lock:
                self._waiting = taken + self._waiting
                self._length += sum(len(line.text) for line in taken)
            raise


def store(row: Task, lines: list[Line]) -> None:
    """Write lines of a task whose row is locked, with their events; let the oldest go that are too many."""
    assert row._state.db is not None
    using = row._state.db
    mine = TaskLog.objects.using(using).filter(task_id=row.pk)
    last = mine.order_by("-number").values_list("number", flat=True).first() or 0
    rows = [
        TaskLog(
            task_id=row.pk,
            number=number,
            level=line.level,
            text=line.text,
            truncated=line.truncated,
            created_at=line.told_at,
        )
        for number, line in enumerate(lines, start=last + 1)
    ]
    TaskLog.objects.using(using).bulk_create(rows)
    if (doomed := rows[-1].number - conf.LOG_LINES) > 0:
        mine.filter(number__lte=doomed)._raw_delete(using)
    log.append([line.event(row) for line in rows], using=using)


def prune(before: datetime, *, using: str | None = None, chunk: int = 10_000) -> int:
    """Delete the lines of tasks that had finished by then; return how many.

    Not of others: the last line of a task that goes on holds its count.
    """
    alias = using or log.database()
    doomed = TaskLog.objects.using(alias).filter(task__status__in=FINAL, task__finished_at__lt=before)
    deleted = 0
    while pks := list(doomed.order_by().values_list("pk", flat=True)[:chunk]):
        deleted += TaskLog.objects.using(alias).filter(pk__in=pks)._raw_delete(alias)
    return deleted
