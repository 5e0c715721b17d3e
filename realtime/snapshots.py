"""Current rows for those who begin to watch: one task, or a topic's tasks, and the position before."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from realtime import log
from realtime.conf import conf
from realtime.events import FINAL, TASK_DELETED, LogEvent, Viewer
from realtime.models import Event, Task
from realtime.models.public import owner_text, public_data
from realtime.topics import MINE, TASKS

#: A topic's snapshot holds its active tasks and those finished within this time.
RECENT = timedelta(hours=24)


class State(NamedTuple):
    """A task as it is now: its owner's id, its public data, and the end of its events.

    ``last`` is the position of its latest event, 0 when pruning has taken it; ``pending`` says that an
    event of it still waits for a position.
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


@dataclass
class Snapshot:
    """Rows for a client, newest first, read after the log had reached ``position``."""

    position: int
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    truncated: bool = False

    def apply(self, events: Iterable[LogEvent], viewer: Viewer) -> None:
        """Bring the rows up to later events, which the client will not be sent any more."""
        for event in events:
            row = self.rows.get(event.task_id)
            if row is not None and row["version"] >= event.version:
                continue
            if event.kind == TASK_DELETED or viewer.loses(event):
                self.rows.pop(event.task_id, None)
            else:
                self.rows[event.task_id] = event.data


def load_states(task_ids: Collection[str], using: str | None = None) -> States:
    """Read tasks and the ends of their events: four queries, however many tasks."""
    using = using or log.database()
    position = log.position(using)
    tasks = list(Task.objects.using(using).filter(pk__in=task_ids))
    ends = {
        row["task_id"]: (row["last"] or 0, row["waiting"] > 0)
        for row in Event.objects.using(using)
        .filter(task_id__in=[str(task.pk) for task in tasks])
        .order_by()
        .values("task_id")
        .annotate(last=Max("position"), waiting=Count("id", filter=Q(position=None)))
    }
    states = {
        str(task.pk): State(owner_text(task), public_data(task), *ends.get(str(task.pk), (0, False)))
        for task in tasks
    }
    return States(position, states)


def load_topics(topics: Collection[str], viewer: Viewer, using: str | None = None) -> Snapshot:
    """Read the snapshot of topics: active tasks and recently finished ones, newest first."""
    using = using or log.database()
    snapshot = Snapshot(log.position(using))
    tasks = Task.objects.using(using).filter(
        ~Q(status__in=FINAL) | Q(finished_at__gte=timezone.now() - RECENT)
    )
    if TASKS in topics and viewer.view_all:
        _take(snapshot, tasks)
    if MINE in topics:
        _take(snapshot, tasks.filter(owner_id=viewer.user_id))
    return snapshot


def _take(snapshot: Snapshot, tasks: QuerySet[Task]) -> None:
    limit = conf.SNAPSHOT_LIMIT
    found = list(tasks.order_by("-created_at", "-id")[: limit + 1])
    snapshot.truncated |= len(found) > limit
    for task in found[:limit]:
        snapshot.rows.setdefault(str(task.pk), public_data(task))
