"""Current rows for those who begin to watch: tasks, notices, and the position before they were read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from realtime import grants, log, registry
from realtime.conf import conf
from realtime.events import (
    BROADCAST,
    BROADCAST_KINDS,
    FINAL,
    PENDING,
    RUNNING,
    TASK_DELETED,
    TASK_KINDS,
    USERS,
    LogEvent,
    Viewer,
    rfc3339,
)
from realtime.exceptions import INTERNAL, UNKNOWN_TOPIC, InvalidValue, Problem
from realtime.models import Broadcast, Event, Task
from realtime.models.public import owner_text, public_data
from realtime.publishing import clean_content
from realtime.topics import MINE, TASKS

#: A topic's snapshot holds its active tasks and those finished within this time.
RECENT = timedelta(hours=24)
#: Notices read at most: of all audiences together, and of those that name one user.
NOTICES = 1000
#: Tasks looked up in one query.
BATCH = 500


class State(NamedTuple):
    """A task as it is now: its owner's id, its public data, and the end of its events.

    ``last`` is the position of its latest event, 0 when pruning has taken it; ``pending`` says that an
    event of it still waits for a position. Both are looked up of finished tasks only: of others more may
    follow, and one that tells many lines has many events.
    """

    owner: str
    data: dict[str, Any]
    last: int
    pending: bool

    @property
    def final(self) -> bool:
        """Whether the task's work is over."""
        return self.data["status"] in FINAL


class States(NamedTuple):
    """Tasks by id, read after the log had reached ``position``; an unknown id is missing."""

    position: int
    tasks: dict[str, State]


class Own(NamedTuple):
    """What a look at a project's own topics found, after the log had reached ``position``.

    How things are, where a topic tells that, and the topics that were refused.
    """

    position: int
    states: dict[str, dict[str, Any]]
    refused: dict[str, Problem]


@dataclass
class Snapshot:
    """Rows for a client, newest first, read after the log had reached ``position``."""

    position: int
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    truncated: bool = False
    #: Notices still in their window, by id, the newest first; None when they were not asked for.
    notices: dict[str, LogEvent] | None = None
    own: Own = field(default_factory=lambda: Own(0, {}, {}))
    #: Events of the project's topics that these states may not hold.
    since: list[LogEvent] = field(default_factory=list)

    def apply(self, events: Iterable[LogEvent], viewer: Viewer) -> None:
        """Bring the rows up to later events, which the client will not be sent any more."""
        for event in events:
            if event.kind in BROADCAST_KINDS:
                self._apply_notice(event)
            if event.topic in self.own.states and event.position > self.own.position:
                self.since.append(event)
            if event.kind not in TASK_KINDS:
                continue
            row = self.rows.get(event.task_id)
            if row is not None and row["version"] >= event.version:
                continue
            if event.kind == TASK_DELETED or viewer.loses(event):
                self.rows.pop(event.task_id, None)
            else:
                self.rows[event.task_id] = event.data

    def _apply_notice(self, event: LogEvent) -> None:
        """Leave out what was sent live while the rows were read, or taken back."""
        if self.notices is not None:
            self.notices.pop(str(event.data.get("broadcast_id", "")), None)


class Notices(NamedTuple):
    """Notices in their window, newest first, read after the log had reached ``position``.

    Those that name users are not among them; ``personal`` says that there are some.
    """

    position: int
    events: list[LogEvent]
    personal: bool

    def of(self, viewer: Viewer, named: list[LogEvent]) -> dict[str, LogEvent]:
        """Return the newest of those that are for ``viewer``, by id, with those that name him."""
        mine = [event for event in self.events if viewer.sees(event)]
        newest = sorted([*mine, *named], key=lambda event: event.timestamp, reverse=True)
        return {e.data["broadcast_id"]: e for e in newest[: conf.SNAPSHOT_LIMIT]}


def load_notices(using: str | None = None) -> Notices:
    """Read the notices that late comers are shown, but those that name users: one query for all who ask."""
    using = using or log.database()
    position = log.position(using)
    rows, named = in_window(using), Q(audience__kind=USERS)
    return Notices(position, _events(rows.exclude(named)), rows.filter(named).exists())


def load_named(user_id: str, using: str | None = None) -> list[LogEvent]:
    """Read the notices that name a user."""
    return _events(in_window(using or log.database()).filter(addressees__user_id=user_id))


def in_window(using: str) -> QuerySet[Broadcast]:
    """Return the notices that are to be shown.

    That it has been published is enough: its time is that of another host's clock.
    """
    rows = Broadcast.objects.using(using).filter(ends_at__gt=timezone.now(), published_at__isnull=False)
    return rows.filter(retracted_at=None).order_by("-published_at")


def _events(rows: QuerySet[Broadcast]) -> list[LogEvent]:
    return [
        LogEvent(0, BROADCAST, rfc3339(row.published_at or row.starts_at), data=row.frame_data())
        for row in rows[:NOTICES]
    ]


def load_states(task_ids: Sequence[str], using: str | None = None) -> States:
    """Read tasks and the ends of their events: two queries for every :data:`BATCH` tasks."""
    using = using or log.database()
    states = States(log.position(using), {})
    for start in range(0, len(task_ids), BATCH):
        tasks = list(Task.objects.using(using).filter(pk__in=task_ids[start : start + BATCH]))
        ends = _ends([str(task.pk) for task in tasks if task.status in FINAL], using)
        for task in tasks:
            end = ends.get(str(task.pk), (0, False))
            states.tasks[str(task.pk)] = State(owner_text(task), public_data(task), *end)
    return states


def _ends(task_ids: Sequence[str], using: str) -> dict[str, tuple[int, bool]]:
    """Return for each task the position of its latest event, and whether one still waits for its own."""
    rows = (
        Event.objects.using(using)
        .filter(task_id__in=task_ids)
        .order_by()
        .values("task_id")
        .annotate(last=Max("position"), waiting=Count("id", filter=Q(position=None)))
    )
    return {row["task_id"]: (row["last"] or 0, row["waiting"] > 0) for row in rows}


def load_topics(topics: Collection[str], viewer: Viewer, using: str | None = None) -> Snapshot:
    """Read the snapshot of topics: for each what :func:`newest` finds, ``SNAPSHOT_LIMIT`` tasks at most.

    Which tasks these are, their activity decides; a client is told them by their age, the newest first.
    """
    using = using or log.database()
    snapshot = Snapshot(log.position(using))
    tasks: dict[Any, Task] = {}
    for topic in (TASKS, MINE):
        if topic in topics:
            found, more = newest(topic, viewer, conf.SNAPSHOT_LIMIT, using)
            snapshot.truncated |= more
            tasks |= {task.pk: task for task in found}
    by_age = sorted(tasks.values(), key=lambda task: (task.created_at, task.pk), reverse=True)
    snapshot.rows = {str(task.pk): public_data(task) for task in by_age}
    return snapshot


def newest(topic: str, viewer: Viewer, limit: int, using: str | None = None) -> tuple[list[Task], bool]:
    """Return the tasks that a snapshot of ``mine`` or ``tasks`` shows, and whether it leaves some out.

    Active ones come first, then those that finished within :data:`RECENT`; of each the newest first. Past
    ``limit`` those go that finished first, then the oldest active ones. None for who may see none.
    """
    tasks: QuerySet[Task] = Task.objects.using(using or log.database())
    since = timezone.now() - RECENT
    # Each follows an index of its own, and so costs the same however many tasks there have been.
    if topic == MINE:
        own = tasks.filter(owner__pk=viewer.user_id)
        active = [own.filter(finished_at=None).exclude(status__in=FINAL).order_by("-created_at", "-id")]
        recent = [own.filter(finished_at__gte=since)]
    elif topic == TASKS and viewer.view_all:
        active = [_along(tasks, status) for status in (PENDING, RUNNING)]
        recent = [tasks.filter(status=status, finished_at__gte=since) for status in sorted(FINAL)]
    else:
        return [], False
    found = sorted((task for rows in active for task in rows[: limit + 1]), key=_created, reverse=True)
    left = limit + 1 - len(found)
    if left <= 0:
        return found[:limit], True
    last = [task for rows in recent for task in rows.order_by("-finished_at")[:left]]
    ended = sorted(last, key=_ended, reverse=True)[:left]
    found += sorted(ended[: left - 1], key=_created, reverse=True)
    return found, len(ended) == left


def _along(tasks: QuerySet[Task], status: str) -> QuerySet[Task]:
    """Return the tasks of a status, the newest first; asked for so that there is one index to follow."""
    return tasks.filter(status__gte=status, status__lte=status).order_by("status", "-created_at", "-id")


def _created(task: Task) -> tuple[datetime, UUID]:
    return task.created_at, task.pk


def _ended(task: Task) -> datetime:
    return cast("datetime", task.finished_at)


def load_own(topics: Collection[str], user_id: str, using: str | None = None) -> Own:
    """Ask the project for its topics: whether the user may see them, and how things are."""
    position = log.position(using)
    seen = {topic for _, topic in grants.granted([(user_id, topic) for topic in topics])}
    own = Own(position, {}, {topic: UNKNOWN_TOPIC for topic in topics if topic not in seen})
    for topic in topics:
        found = registry.find(topic)
        if topic not in seen or found is None:
            continue
        state = grants.asked(topic, _state_of, *found)
        if state is None:
            own.refused[topic] = INTERNAL
        elif state:
            own.states[topic] = state[0]
    return own


def _state_of(topic: registry.Topic, key: str) -> list[dict[str, Any]]:
    """Return a topic's snapshot as it is sent, or nothing. Raises ``TypeError`` when it cannot be sent."""
    try:
        state = topic.snapshot(key)
    except grants.NO_SUCH_THING:
        # Gone since it was asked whether the user may see it.
        state = None
    try:
        return [] if state is None else [clean_content(state)]
    except InvalidValue as error:
        raise TypeError(f"A snapshot cannot be sent: {error}") from error
