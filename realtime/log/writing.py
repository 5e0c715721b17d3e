"""Events into the log: appended in the caller's transaction, positioned when it has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.db import connections, transaction
from django.db.models import QuerySet

from realtime import publisher
from realtime.events import LogEvent
from realtime.log.head import Head, database, lock_head, move_head, retried
from realtime.models.log import Event

#: Rows positioned in one round, so that the head is never held long.
ROUND = 500

_TABLE = Event._meta.db_table
_FIELDS = [f for f in Event._meta.concrete_fields if not f.primary_key]
_INSERT = (
    f"INSERT INTO {_TABLE} ({', '.join(str(f.column) for f in _FIELDS)}) "  # noqa: S608
    f"VALUES ({', '.join(['%s'] * len(_FIELDS))})"
)
_PLACE = f"UPDATE {_TABLE} SET position = %s WHERE id = %s"  # noqa: S608
_WAITING = f"SELECT 1 FROM {_TABLE} WHERE position IS NULL LIMIT 1"  # noqa: S608


class _Batch:
    """What one transaction's callbacks share: the first does the work, the rest find it done."""

    done = False


class _Staged:
    """An event that waits behind the writes of its block, until another has to come after it."""

    def __init__(self, event: Callable[[], Event]) -> None:
        self.event = event
        self.row: Event | None = None


def append(events: Iterable[Event], *, using: str | None = None) -> None:
    """Write events into the caller's transaction; they are positioned when it commits.

    The callback is registered at every call: a "registered already" flag would die with a rolled-back
    savepoint, and the connection would never sequence again.
    """
    using = using or database()
    rows = [*_take_staged(using), *events]
    if not rows:
        return
    _insert(rows, using)
    on_commit(using)


@contextmanager
def staged(event: Callable[[], Event], *, using: str, alone: bool) -> Iterator[None]:
    """Append ``event`` behind what the block writes, but before anything the block itself appends.

    A receiver that saves the same task again inside the block must not get in front. ``alone`` says
    that the transaction is the caller's own and short: then the event is positioned within it.
    """
    append((), using=using)
    connection = connections[using]
    outer: _Staged | None = getattr(connection, "_realtime_staged", None)
    mine = connection._realtime_staged = _Staged(event)  # type: ignore[attr-defined]
    try:
        yield
        if alone and mine.row is None and _reads_committed(using):
            connection._realtime_staged = None  # type: ignore[attr-defined]
            _append_positioned(event(), using)
        else:
            append((), using=using)
    finally:
        connection._realtime_staged = outer  # type: ignore[attr-defined]


def _insert(rows: Iterable[Event], using: str) -> None:
    connection = connections[using]
    values = [[f.get_db_prep_save(getattr(row, f.attname), connection) for f in _FIELDS] for row in rows]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, values)


def _take_staged(using: str) -> list[Event]:
    staged: _Staged | None = getattr(connections[using], "_realtime_staged", None)
    if staged is None:
        return []
    if staged.row is None:
        staged.row = staged.event()
    elif _is_pending(staged.row, using):
        return []
    return [staged.row]


def _is_pending(row: Event, using: str) -> bool:
    """Tell whether an event that this transaction wrote is there still.

    A receiver may have caused the write inside a savepoint of its own and have rolled that back.
    """
    same = pending(using).filter(kind=row.kind, task_id=row.task_id, version=row.version)
    return same.exists()


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
    events: list[LogEvent] = []
    if has_pending(using):
        waiting = list(pending(using)[: ROUND + 1])
        if len(waiting) > ROUND:
            move_head(using, position=head.position - 1)
            append([row], using=using)
            return
        before = head._replace(position=head.position - 1)
        events = position_rows(waiting, before, using, reserve=1)
    row.position = head.position + len(events)
    _insert([row], using)
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
    alias = using or database()
    positioned: list[LogEvent] = []
    while True:
        rows = retried(lambda: _sequence_round(alias))
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


def pending(using: str) -> QuerySet[Event]:
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
        cursor.executemany(_PLACE, [(row.position, row.pk) for row in rows])
    move_head(using, position=head.position + len(rows) + reserve)
    return [row.as_log_event() for row in rows]


def has_pending(using: str | None = None) -> bool:
    """Tell whether a committed event still waits for its position."""
    with connections[using or database()].cursor() as cursor:
        cursor.execute(_WAITING)
        return bool(cursor.fetchall())
