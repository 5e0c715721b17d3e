"""``TaskLog``: what a task's worker tells on its way, line by line."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from django.db import models
from django.utils import timezone

from realtime.conf import conf
from realtime.events import LINE_LEVELS, TASK_LOG, rfc3339
from realtime.exceptions import InvalidValue
from realtime.models.log import Event
from realtime.models.public import owner_text
from realtime.models.transitions import clean_text, safe_text

if TYPE_CHECKING:
    from realtime.models.task import Task

#: Characters of a line that are kept.
CHARACTERS = 10_000


class Line(NamedTuple):
    """A line as it was told, clean and cut; it has no number before it is written."""

    level: str
    text: str
    truncated: bool
    told_at: datetime

    @classmethod
    def of(cls, text: object, level: str) -> Line:
        """Return the line of anything that becomes text; raise ``InvalidValue`` for a level that is none."""
        if level not in LINE_LEVELS:
            raise InvalidValue(message=f"level is one of {', '.join(LINE_LEVELS)}, not {str(level)[:40]!r}.")
        # Secrets first, as half of one is not known for what it is; but not in megabytes for a line.
        clean = str(text)
        truncated = len(clean) > CHARACTERS
        clean = safe_text(clean_text(clean[: 2 * CHARACTERS]))[:CHARACTERS]
        return cls(level, clean, truncated, timezone.now())


class TaskLog(models.Model):
    """One line of one task. ``number`` counts from 1, without a gap; the first lines may have been let go."""

    id = models.BigAutoField(primary_key=True)
    # They go with the task: its deletion takes them along in one statement, unread (``signals``).
    # Django's own cascade would load them all, and not see those that are written meanwhile.
    task = models.ForeignKey(
        "realtime.Task",
        on_delete=models.DO_NOTHING,
        related_name="lines",
        db_index=False,  # the constraint's does
    )
    number = models.PositiveBigIntegerField()
    level = models.CharField(max_length=8, choices=[(level, level) for level in LINE_LEVELS])
    text = models.TextField()
    truncated = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        """Read by task, in the order of the numbers. Written by :mod:`realtime.models.lines` only."""

        ordering = ("task", "number")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["task", "number"], name="realtime_tasklog_number"),)

    def __str__(self) -> str:
        return f"{self.number} {self.level}: {self.text[:60]}"

    def data(self) -> dict[str, Any]:
        """Return what its frame tells, and the API."""
        data = {"number": self.number, "level": self.level, "text": self.text}
        return {**data, "truncated": True} if self.truncated else data

    def event(self, task: Task) -> Event:
        """Return the row that tells those who may see ``task`` of it.

        What is too large for an event is cut further; it stays whole over HTTP.
        """
        data = self.data()
        while len(msgspec.json.encode(data)) > conf.MAX_EVENT_SIZE:
            data |= {"text": data["text"][: len(data["text"]) // 2], "truncated": True}
        return Event(
            kind=TASK_LOG, task_id=str(task.pk), owner=owner_text(task), data=data, created_at=self.created_at
        )

    def written(self) -> dict[str, Any]:
        """Return the line as the API lists it."""
        return {**self.data(), "timestamp": rfc3339(self.created_at)}
