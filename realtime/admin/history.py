"""A task's past, for its page: its milestones, its newest events and its last lines. All bounded."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.urls import NoReverseMatch, reverse

from realtime import log
from realtime.admin.display import badge, moment
from realtime.admin.listing import along
from realtime.events import FINAL, TASK_LOG
from realtime.models import Event, Task, TaskLog

#: How many events a task's page shows, the newest.
HISTORY = 100
#: Among how many of the task's events, lines included, they are looked for.
NEWEST = 2_000
#: How many lines, the last; the page reads earlier ones on demand.
LINES = 100

_FIELDS = (
    *("position", "kind", "created_at", "data__status", "data__progress", "data__message"),
    "data__phase",
)


class Milestone(NamedTuple):
    """A moment of the timeline."""

    at: datetime
    #: The icon and the word.
    badge: str
    text: str

    @property
    def when(self) -> str:
        """The moment as it is shown."""
        return moment(self.at)


def of(task: Task) -> dict[str, Any]:
    """Return what the page of a task tells of its past."""
    rows = _events(task)
    lines = TaskLog.objects.using(log.database()).filter(task_id=task.pk).order_by("-number")
    last = list(lines[: LINES + 1])
    return {
        "task_events": rows[:HISTORY],
        "task_events_more": len(rows) > HISTORY,
        "milestones": milestones(task, rows),
        "task_lines": [{"line": line, "when": moment(line.created_at)} for line in last[:LINES][::-1]],
        "task_lines_more": len(last) > LINES,
        "task_lines_url": _lines_url(task),
    }


def _events(task: Task) -> list[dict[str, Any]]:
    """Return the newest events but for lines: those are many, and have a list of their own."""
    newest = along(Event.objects.all(), "-task_id", str(task.pk), "-position")
    kinds = newest.values_list("pk", "kind")[:NEWEST]
    pks = [pk for pk, kind in kinds if kind != TASK_LOG][: HISTORY + 1]
    rows = {row["pk"]: row for row in Event.objects.filter(pk__in=pks).values("pk", *_FIELDS)}
    return [rows[pk] for pk in pks if pk in rows]  # pruning may have taken one in between


def milestones(task: Task, rows: list[dict[str, Any]]) -> list[Milestone]:
    """Return the moments of a task's life in their order.

    Those that its row remembers are always there; the phases between them are in the log for as long as
    it holds them.
    """
    found = [Milestone(task.created_at, badge("pending"), "Created")]
    if task.retry_of_id:
        found = [found[0]._replace(text=f"Created as a retry of {task.retry_of_id}")]
    if task.started_at:
        found.append(Milestone(task.started_at, badge("running"), "Started"))
    if task.cancel_requested_at:
        found.append(Milestone(task.cancel_requested_at, badge("cancelling"), "Asked to stop"))
    if task.finished_at and task.status in FINAL:
        found.append(Milestone(task.finished_at, badge(task.status), ""))
    phase = ""
    for row in reversed(rows):
        new = row["data__phase"] or ""
        if new and new != phase and row["data__status"] == "running":
            found.append(Milestone(row["created_at"], badge("running"), f"Phase: {new}"))
        phase = new or phase
    return sorted(found, key=lambda one: one.at)


def _lines_url(task: Task) -> str:
    """Return where earlier lines are read; "" on a site that has not included the app's addresses."""
    try:
        return reverse("realtime:task_log", args=[task.pk])
    except NoReverseMatch:
        return ""
