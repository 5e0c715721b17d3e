"""What has become of lines: their rows, and their events among those of the task."""

from __future__ import annotations

from typing import Any

from realtime import log, replay
from realtime.events import LogEvent
from realtime.models import TaskLog


def stored() -> list[tuple[int, str]]:
    """Number and text of all lines, in the order of their numbers."""
    return list(TaskLog.objects.order_by("number").values_list("number", "text"))


def journal() -> list[LogEvent]:
    """All events, in the log's order."""
    return replay.read(0, log.position(), 100_000)


def told() -> list[Any]:
    """The log's order in short: a line's number, or the status that a change brought."""
    return [e.data["number"] if e.kind == "task_log" else e.data["status"] for e in journal()]
