"""Reading the log for a client or a hub: pages of events, counted and filtered by key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from django.db.models import Q, QuerySet

from realtime import log
from realtime.conf import conf
from realtime.events import AUDIENCE_KINDS, BROADCAST_KINDS, OF_TASKS, TASK_KINDS, LogEvent, Viewer
from realtime.models.log import Event
from realtime.topics import BROADCASTS, TASKS

#: Events a client's page holds at most.
PAGE = 500
#: Rows read first, to see how large they are.
FIRST = 50


class Page(NamedTuple):
    """Matching events after a cursor, and how far the log has been read: all up to ``upto``."""

    events: list[LogEvent]
    upto: int
    floor: int
    #: Matching events there are in all, counted up to one more than the limit asked for; else 0.
    missed: int


def read(after: int, upto: int, limit: int = PAGE, using: str | None = None) -> list[LogEvent]:
    """Return the first events with ``after < position <= upto``, in order, at most ``limit``.

    Fewer when they are large; none only when there are none.
    """
    rows = Event.objects.using(using or log.database()).filter(position__gt=after, position__lte=upto)
    return _some(rows.order_by("position"), limit)[0]


def matching(keys: Iterable[str]) -> Q:
    """Return the filter for the events that match one of ``keys``."""
    condition = Q(pk__in=())
    task_ids: list[str] = []
    topics: list[str] = []
    for key in keys:
        kind, _, value = key.partition(":")
        if kind == "task":
            task_ids.append(value)
        elif kind == "topic":
            topics.append(value)
        elif kind == "mine":
            condition |= Q(kind__in=TASK_KINDS) & (Q(owner=value) | Q(previous_owner=value))
        elif kind == TASKS:
            condition |= Q(kind__in=TASK_KINDS)
        elif kind == BROADCASTS:
            condition |= Q(kind__in=BROADCAST_KINDS)
    if topics:
        condition |= Q(topic__in=topics)
    return condition | Q(kind__in=OF_TASKS, task_id__in=task_ids) if task_ids else condition


def visible(viewer: Viewer) -> Q:
    """Return the filter for the events that :meth:`Viewer.sees`, and those with an audience of others.

    Who reads takes these out: an audience is not a column.
    """
    if viewer.view_all:
        return Q()
    mine = Q(owner=viewer.user_id) | Q(previous_owner=viewer.user_id)
    return (Q(kind__in=OF_TASKS) & mine) | Q(kind__in=AUDIENCE_KINDS)


def page(
    after: int,
    keys: tuple[str, ...],
    viewer: Viewer,
    count: int,
    using: str | None = None,
    limit: int = PAGE,
) -> Page:
    """Read one page for a client, of at most ``limit`` events: the head before it, the floor after it.

    ``count``, unless 0, asks to count what was missed, up to one more than it. A floor above ``after``
    means that pruning has overtaken the reader, whatever the page holds. An event that cannot be read is as
    good as gone: for whoever it concerns, the floor is there.
    """
    using = using or log.database()
    head = log.read_head(using) or log.start(using)
    rows = Event.objects.using(using).filter(
        matching(keys) & visible(viewer), position__gt=after, position__lte=head.position
    )
    missed = rows.order_by()[: count + 1].count() if count else 0
    events, more = _some(rows.order_by("position"), limit)
    upto = events[-1].position if more else head.position
    ends = log.read_head(using)
    floor = ends.floor if ends else head.floor
    floor = max([floor, *(event.position for event in events if event.unreadable)])
    return Page(events, max(upto, after), floor, missed)


def _some(rows: QuerySet[Event], limit: int = PAGE) -> tuple[list[LogEvent], bool]:
    """Return the first rows, at most ``limit`` and about a buffer's bytes, and whether more may follow."""
    events: list[LogEvent] = []
    room, ask = conf.BUFFER_BYTES, min(FIRST, limit)
    while room > 0 and len(events) < limit:
        found = [row.as_log_event() for row in rows[len(events) : len(events) + ask]]
        events += found
        if len(found) < ask:
            return events, False
        # A few rows tell how large they are; so many more are asked for as fit.
        size = sum(len(msgspec.json.encode(event.data)) for event in found)
        room -= size
        ask = max(1, min(limit - len(events), room * len(found) // max(size, 1)))
    return events, True


def nothing_after(cursor: int, keys: tuple[str, ...], viewer: Viewer, using: str | None = None) -> bool:
    """Tell whether ``cursor`` is of this log and no event after it is, or will be, for this viewer."""
    using = using or log.database()
    mine = matching(keys) & visible(viewer)
    # The unsequenced first: sequenced in between, they are found by the second question.
    if log.pending(using).filter(mine).exists():
        return False
    head = log.read_head(using)
    if head is None or not head.floor <= cursor <= head.position:
        return False
    return not Event.objects.using(using).filter(mine, position__gt=cursor).exists()
