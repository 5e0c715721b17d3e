"""The durable ordered record: append, sequence, read, prune and rebase.

Positions are given *after* commit. An auto-increment id is taken before commit, so a reader could see
11 while 10 is still uncommitted, and never see 10. So :func:`append` writes the event inside the
caller's transaction without a position, and :func:`sequence`, in a short transaction of its own,
positions whatever has been committed. If a process dies between the two, the next ``sequence`` in any
process picks the row up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, TypeVar

from django.db import OperationalError, connections, router, transaction
from django.db.models import F

from realtime import publisher
from realtime.events import LogEvent
from realtime.models.log import Event, LogHead

logger = logging.getLogger("realtime.log")

T = TypeVar("T")

#: Rows positioned in one round, so that the head is never held long.
ROUND = 500
#: How often a serialization failure or a busy SQLite is tried again before it is left to the hubs.
ATTEMPTS = 5


class Head(NamedTuple):
    """The ends of the log: events with ``floor < position <= position`` can be read."""

    position: int
    floor: int


class _Batch:
    """What one transaction's callbacks share: the first does the work, the rest find it done."""

    done = False


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Event)


def append(events: Iterable[Event], *, using: str | None = None) -> None:
    """Write events into the caller's transaction; they are positioned when it commits.

    The callback is registered at every call: a "registered already" flag would die with a rolled-back
    savepoint, and the connection would never sequence again.
    """
    using = using or database()
    rows = [*_take_staged(using), *events]
    if not rows:
        return
    Event.objects.using(using).bulk_create(rows, batch_size=ROUND)
    on_commit(using)


@contextmanager
def staged(event: Callable[[], Event], *, using: str, alone: bool) -> Iterator[None]:
    """Append ``event`` behind what the block writes, but before anything the block itself appends.

    A receiver that saves the same task again inside the block must not get in front. ``alone`` says
    that the transaction is the caller's own and short: then the event is positioned within it.
    """
    append((), using=using)
    connection = connections[using]
    connection._realtime_staged = event  # type: ignore[attr-defined]
    try:
        yield
        if getattr(connection, "_realtime_staged", None) is event:
            if alone and _reads_committed(using):
                _append_positioned(_take_staged(using)[0], using)
            else:
                append((), using=using)
    finally:
        connection._realtime_staged = None  # type: ignore[attr-defined]


def _take_staged(using: str) -> list[Event]:
    event = getattr(connections[using], "_realtime_staged", None)
    connections[using]._realtime_staged = None  # type: ignore[attr-defined]
    return [event()] if event else []


def _reads_committed(using: str) -> bool:
    """Tell whether a new statement sees what others have committed since the transaction began.

    SQLite counts: whoever holds its write lock, as a task's save does from its first statement on, is
    alone. Elsewhere a stricter isolation level would hide pending rows behind the old snapshot.
    """
    if connections[using].vendor == "sqlite":
        return True
    level = connections[using].settings_dict["OPTIONS"].get("isolation_level")
    return level in (None, 2) or str(level).lower() == "read committed"


def _append_positioned(row: Event, using: str) -> None:
    """The second, cheaper path: position what waits and then ``row``, in the caller's transaction.

    The head is locked last, for the few statements here: a lock taken last costs 4 % of the
    throughput of concurrent writers, taken first 75 %.
    """
    head = lock_head(using, reserve=1)
    waiting = list(pending(using)[: ROUND + 1])
    if len(waiting) > ROUND:
        LogHead.objects.using(using).filter(pk=LogHead.THE_ROW).update(position=head.position - 1)
        append([row], using=using)
        return
    before = head._replace(position=head.position - 1)
    events = position_rows(waiting, before, using, reserve=1)
    row.position = head.position + len(waiting)
    row.save(using=using, force_insert=True)
    events.append(row.as_log_event())
    transaction.on_commit(lambda: publisher.publish(events), using=using, robust=True)


def on_commit(using: str) -> None:
    """Sequence and publish after the current transaction; at once when there is none."""
    connection = connections[using]
    batch: _Batch | None = getattr(connection, "_realtime_batch", None)
    if batch is None or batch.done:
        batch = _Batch()
        connection._realtime_batch = batch  # type: ignore[attr-defined]

    def settle(batch: _Batch = batch) -> None:
        if not batch.done:
            batch.done = True
            sequence(using=using)

    transaction.on_commit(settle, using=using, robust=True)


def sequence(*, using: str | None = None, publish: bool = True) -> list[LogEvent]:
    """Give positions to everything that has been committed, publish it, and return it.

    Raises ``OperationalError`` when the database stays busy; the rows then wait for the next call.
    """
    using = using or database()
    positioned: list[LogEvent] = []
    while True:
        rows = _retried(lambda: _sequence_round(using))
        positioned += rows
        if publish and rows:
            publisher.publish(rows)
        if len(rows) < ROUND:
            return positioned


def _sequence_round(using: str) -> list[LogEvent]:
    with transaction.atomic(using=using):
        head = lock_head(using)
        # A new statement, after the lock: under READ COMMITTED it sees all that was committed before.
        rows = list(pending(using)[:ROUND])
        return position_rows(rows, head, using)


def pending(using: str):  # type: ignore[no-untyped-def]
    """Return the rows that have no position yet, in the order in which they will get one."""
    return Event.objects.using(using).filter(position=None).order_by("id")


def position_rows(rows: Sequence[Event], head: Head, using: str, reserve: int = 0) -> list[LogEvent]:
    """Give ``rows`` the positions after ``head``, which the caller has locked.

    ``reserve`` further positions after theirs are taken from the head for the caller.
    """
    if not rows:
        return []
    for offset, row in enumerate(rows, start=1):
        row.position = head.position + offset
    with connections[using].cursor() as cursor:
        cursor.executemany(
            f"UPDATE {Event._meta.db_table} SET position = %s WHERE id = %s",  # noqa: S608
            [(row.position, row.pk) for row in rows],
        )
    LogHead.objects.using(using).filter(pk=LogHead.THE_ROW).update(
        position=head.position + len(rows) + reserve
    )
    return [row.as_log_event() for row in rows]


def begin_write(using: str) -> None:
    """Take SQLite's write lock, where a transaction must not begin with a read.

    A read first would have to be upgraded, which fails without waiting when somebody has written
    meanwhile. Databases that lock rows need none of this.
    """
    if not connections[using].features.has_select_for_update:
        LogHead.objects.using(using).filter(pk=0).update(position=0)


def lock_head(using: str, reserve: int = 0) -> Head:
    """Lock the head row until the transaction ends and return it; a missing one starts at now.

    ``reserve`` positions are taken at once; the position returned is the last of them.

    The first statement is an UPDATE, so that SQLite takes its write lock at once.
    """
    heads = LogHead.objects.using(using).filter(pk=LogHead.THE_ROW)
    if not heads.update(position=F("position") + reserve):
        start = microseconds()
        LogHead.objects.using(using).bulk_create(
            [LogHead(position=start, floor=start)], ignore_conflicts=True
        )
        heads.update(position=F("position") + reserve)
    return Head(*heads.values_list("position", "floor").get())


def microseconds() -> int:
    """Return the Unix time in microseconds: below 2**53 for two centuries, above every older head."""
    return time.time_ns() // 1000


def read_head(using: str | None = None) -> Head | None:
    """Return the ends of the log, or None when there is no head row yet."""
    row = (
        LogHead.objects.using(using or database())
        .filter(pk=LogHead.THE_ROW)
        .values_list("position", "floor")
        .first()
    )
    return Head(*row) if row else None


def position(using: str | None = None) -> int:
    """Return the last position given; what a page hands to its first subscribe as ``after``.

    Read it *before* the page's own query: then nothing falls between render and connect.
    """
    head = read_head(using)
    return head.position if head else start(using).position


def start(using: str | None = None) -> Head:
    """Create the head row when it is missing, and return the ends of the log."""
    using = using or database()

    def begin() -> Head:
        with transaction.atomic(using=using):
            return lock_head(using)

    return _retried(begin)


def has_pending(using: str | None = None) -> bool:
    """Tell whether a committed event still waits for its position."""
    return bool(pending(using or database()).exists())


def rebase(still_wrong: Callable[[Head], bool] | None = None, using: str | None = None) -> Head:
    """Move both ends of the log to now, so that every older cursor gets a plain ``reset``.

    For a log that was restored or damaged. ``still_wrong`` is asked under the lock, so that of many
    processes that notice the damage only one moves the log.
    """
    using = using or database()

    def move() -> Head:
        with transaction.atomic(using=using):
            head = lock_head(using)
            if still_wrong is not None and not still_wrong(head):
                return head
            last = (
                Event.objects.using(using)
                .exclude(position=None)
                .order_by("-position")
                .values_list("position", flat=True)
                .first()
            )
            to = max(microseconds(), head.position + 1, (last or 0) + 1)
            LogHead.objects.using(using).filter(pk=LogHead.THE_ROW).update(position=to, floor=to)
            logger.error("The event log was rebased from %s to %s.", head.position, to)
            return Head(to, to)

    return _retried(move)


def prune(before: datetime, keep: int, *, using: str | None = None, chunk: int = 10_000) -> int:
    """Delete a prefix of the log: events older than ``before``, and all but the last ``keep``.

    Only a prefix goes, up to the lowest position that is still young, and never a row without a
    position; the floor moves in the same transaction. Returns the number of rows deleted.
    """
    using = using or database()
    deleted = 0
    while removed := _retried(lambda: _prune_chunk(using, before, keep, chunk)):
        deleted += removed
    return deleted


def _prune_chunk(using: str, before: datetime, keep: int, chunk: int) -> int:
    with transaction.atomic(using=using):
        head = lock_head(using)
        positioned = Event.objects.using(using).exclude(position=None)
        young = (
            positioned.filter(created_at__gte=before, position__gt=head.floor)
            .order_by("position")
            .values_list("position", flat=True)
            .first()
        )
        by_age = head.position if young is None else young - 1
        goal = max(by_age, head.position - keep, head.floor)
        doomed = list(
            positioned.filter(position__lte=goal)
            .order_by("position")
            .values_list("position", flat=True)[:chunk]
        )
        floor = goal if len(doomed) < chunk else doomed[-1]
        if floor > head.floor:
            LogHead.objects.using(using).filter(pk=LogHead.THE_ROW).update(floor=floor)
        if not doomed:
            return 0
        return positioned.filter(position__lte=doomed[-1])._raw_delete(using)


def _retried(work: Callable[[], T]) -> T:
    """Run a short transaction again when the database says it lost a race."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except OperationalError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.01 * 2**attempt)
    raise AssertionError("unreachable")
