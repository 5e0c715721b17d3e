"""The event log in the database: ``Event`` rows and the one ``LogHead`` row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.fields.json import KeyTransform

from realtime.depth import DEPTH, is_deeper
from realtime.events import KINDS, LogEvent, is_tellable, rfc3339

if TYPE_CHECKING:
    # Generic for the type checker only.
    JSONField = models.JSONField[Any, Any]
else:
    JSONField = models.JSONField

#: Levels of an event around a value that somebody gave: a broadcast's message and the event itself.
AROUND = 2


class EventData(JSONField):
    """What an event tells; None when it cannot be read, or could not be sent to anybody.

    Nothing of ours writes such a row, but plain SQL can, and one row must not stop the whole log.
    """

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Return the value, or None; of a part of it whatever the database found."""
        if isinstance(expression, KeyTransform):
            return super().from_db_value(value, expression, connection)
        try:
            found = super().from_db_value(value, expression, connection)
            msgspec.json.encode(found)
        except (ValueError, TypeError, RecursionError):
            return None
        brackets = value.count("{") + value.count("[") if isinstance(value, str) else 0
        return None if brackets > DEPTH and is_deeper(found, DEPTH + AROUND) else found

    def deconstruct(self) -> Any:
        """Stand in migrations as what it is for the database."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class Event(models.Model):
    """One immutable fact. Written by :mod:`realtime.log` only.

    No foreign keys: a cascade would punch holes into the log, and a protected user could never be
    deleted. ``position`` is NULL from the writer's commit until the log has sequenced the row.
    """

    id = models.BigAutoField(primary_key=True)
    position = models.BigIntegerField(null=True, unique=True, editable=False)
    kind = models.CharField(max_length=32, choices=sorted((k, k) for k in KINDS))
    task_id = models.CharField(max_length=36, blank=True, default="")
    owner = models.CharField(max_length=64, blank=True, default="")
    previous_owner = models.CharField(max_length=64, blank=True, default="")
    version = models.BigIntegerField(default=0)
    data = EventData(default=dict, encoder=DjangoJSONEncoder)
    # NULL, not "": what most events have costs nothing, and while a deploy lasts older processes write none.
    topic = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    created_at = models.DateTimeField()

    class Meta:
        """Indexes carry ``position``, for every replay reads one key in the log's order."""

        ordering = ("id",)
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["id"], condition=models.Q(position=None), name="realtime_event_pending"),
            models.Index(fields=["task_id", "position"], name="realtime_event_task"),
            models.Index(fields=["owner", "position"], name="realtime_event_owner"),
            models.Index(fields=["previous_owner", "position"], name="realtime_event_previous"),
            models.Index(fields=["kind", "position"], name="realtime_event_kind"),
            models.Index(
                fields=["topic", "position"],
                condition=models.Q(topic__isnull=False),
                name="realtime_event_topic",
            ),
        )

    def __str__(self) -> str:
        about = self.topic or self.task_id or self.owner
        return f"{self.kind} {about} at {self.position or 'no position yet'}"

    def as_log_event(self) -> LogEvent:
        """Return the row as the value that travels; ``position`` 0 while it has none."""
        tellable = is_tellable(self.kind, self.data)
        return LogEvent(
            position=self.position or 0,
            kind=self.kind,
            timestamp=rfc3339(self.created_at),
            task_id=self.task_id,
            owner=self.owner,
            previous_owner=self.previous_owner,
            version=self.version,
            data=self.data if tellable else {},
            topic=self.topic or "",
            unreadable=not tellable,
        )


class LogHead(models.Model):
    """The log's two ends: the last position given, and the floor up to which everything is gone."""

    #: The primary key of the one row.
    THE_ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=THE_ROW)
    position = models.BigIntegerField()
    floor = models.BigIntegerField()

    class Meta:
        """Nobody edits this by hand."""

        default_permissions = ()

    def __str__(self) -> str:
        return f"log from {self.floor} to {self.position}"
