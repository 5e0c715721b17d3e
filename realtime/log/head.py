"""The two ends of the log: one row, locked for a few statements by whoever moves it.

Plain SQL where every save of a task passes: the ORM would spend more time on building these
statements than the database on running them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from django.db import OperationalError, connections, router, transaction

from realtime.models.log import Event, LogHead

T = TypeVar("T")

#: How often a serialization failure or a busy SQLite is tried again before it is left to the hubs.
ATTEMPTS = 5

_TABLE = LogHead._meta.db_table
_LOCK = f"UPDATE {_TABLE} SET position = position + %s WHERE id = {LogHead.THE_ROW}"  # noqa: S608
_READ = f"SELECT position, floor FROM {_TABLE} WHERE id = {LogHead.THE_ROW}"  # noqa: S608
_LAST = f"SELECT MAX(position) FROM {Event._meta.db_table}"  # noqa: S608
_TOUCH = f"UPDATE {_TABLE} SET floor = floor WHERE id = 0"  # noqa: S608


class Head(NamedTuple):
    """The ends of the log: events with ``floor < position <= position`` can be read."""

    position: int
    floor: int


def database() -> str:
    """Return the alias of the database that holds the log."""
    return router.db_for_write(Event)


def begin_write(using: str) -> None:
    """Take SQLite's write lock, where a transaction must not begin with a read.

    A read first would have to be upgraded, which fails without waiting when somebody has written
    meanwhile. Databases that lock rows need none of this.
    """
    if not connections[using].features.has_select_for_update:
        with connections[using].cursor() as cursor:
            cursor.execute(_TOUCH)


def lock_head(using: str, reserve: int = 0) -> Head:
    """Lock the head row until the transaction ends and return it; a missing one starts at now.

    ``reserve`` positions are taken at once; the position returned is the last of them. The first
    statement is an UPDATE, so that SQLite takes its write lock at once.
    """
    with connections[using].cursor() as cursor:
        head = _lock(cursor, reserve)
        if head is None:
            start = microseconds()
            LogHead.objects.using(using).bulk_create(
                [LogHead(position=start, floor=start)], ignore_conflicts=True
            )
            head = _lock(cursor, reserve)
    assert head is not None
    return head


def _lock(cursor: Any, reserve: int) -> Head | None:
    if cursor.db.vendor in ("postgresql", "sqlite"):
        cursor.execute(f"{_LOCK} RETURNING position, floor", [reserve])
    else:
        cursor.execute(_LOCK, [reserve])
        cursor.execute(_READ)
    # All rows, though there is one: SQLite ends a statement when it has been read to its end.
    rows = cursor.fetchall()
    return Head(*rows[0]) if rows else None


def move_head(using: str, **ends: int) -> None:
    """Set ``position`` or ``floor`` of the locked head."""
    LogHead.objects.using(using).filter(pk=LogHead.THE_ROW).update(**ends)


def microseconds() -> int:
    """Return the Unix time in microseconds: below 2**53 for two centuries, above every older head."""
    return time.time_ns() // 1000


def read_head(using: str | None = None) -> Head | None:
    """Return the ends of the log, or None when there is no head row yet."""
    with connections[using or database()].cursor() as cursor:
        cursor.execute(_READ)
        rows = cursor.fetchall()
    return Head(*rows[0]) if rows else None


def position(using: str | None = None) -> int:
    """Return the last position given; what a page hands to its first subscribe as ``after``.

    Read it *before* the page's own query: then nothing falls between render and connect.
    """
    return (read_head(using) or start(using)).position


def last_position(using: str | None = None) -> int:
    """Return the highest position that any event has; above the head's, the log is damaged."""
    with connections[using or database()].cursor() as cursor:
        cursor.execute(_LAST)
        return int(cursor.fetchall()[0][0] or 0)


def start(using: str | None = None) -> Head:
    """Create the head row when it is missing, and return the ends of the log."""
    alias = using or database()

    def begin() -> Head:
        with transaction.atomic(using=alias):
            return lock_head(alias)

    return retried(begin)


def retried(work: Callable[[], T]) -> T:
    """Run a short transaction again when the database says it lost a race."""
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except OperationalError:
            time.sleep(0.01 * 2**attempt)
    return work()
