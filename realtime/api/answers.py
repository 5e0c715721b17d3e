"""What the task and event views answer, and its description. The serializers here describe, nothing more."""

from __future__ import annotations

from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from realtime.events import LINE_LEVELS, STATUSES
from realtime.models import Task
from realtime.models.public import whole_data
from realtime.protocol import server

POSITION = "Realtime-Position"
#: Frames that an answer to ``events`` may hold.
EVENT_FRAMES = (
    server.TaskUpdate,
    server.TaskDeleted,
    server.TaskRemoved,
    server.TaskLog,
    server.Broadcast,
    server.BroadcastRetracted,
    server.TopicEvent,
)


def positioned(body: Any, position: int, status: int = 200, **headers: str) -> Response:
    """Return an answer that contains everything up to ``position``."""
    if body is not None:
        body = {**body, "position": position}
    return Response(body, status, headers={POSITION: str(position), **headers})


def task_body(task: Task) -> dict[str, Any]:
    """Return a task's public fields, whole, and its figures of this moment."""
    figures = task.pace._asdict()
    return whole_data(task) | {name: None if n is None else round(n, 3) for name, n in figures.items()}


def task_answer(task: Task, position: int, status: int = 200, **headers: str) -> Response:
    """Return a task."""
    return positioned(task_body(task), position, status, **headers)


def position_header(*statuses: int) -> OpenApiParameter:
    """Return the description of the header that every good answer has."""
    return OpenApiParameter(
        POSITION,
        int,
        OpenApiParameter.HEADER,
        response=list(statuses),
        description="The `position` of the answer, also where it has no body.",
    )


def _position() -> serializers.IntegerField:
    return serializers.IntegerField(
        min_value=0,
        max_value=2**63 - 1,
        help_text=(
            "Everything up to here is contained in this answer: resume a stream `after` it, and drop what "
            "has a `version` you hold."
        ),
    )


class TaskBody(serializers.Serializer[Any]):
    """A task as everybody sees it who may see it."""

    task_id = serializers.UUIDField()
    name = serializers.CharField(allow_blank=True, max_length=255)
    status = serializers.ChoiceField(STATUSES)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    total = serializers.IntegerField(min_value=0, max_value=2**63 - 1, allow_null=True)
    done = serializers.IntegerField(min_value=0, max_value=2**63 - 1)
    phase = serializers.CharField(allow_blank=True, max_length=255)
    message = serializers.CharField(allow_blank=True)
    result = serializers.JSONField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    owner = serializers.CharField(allow_null=True, help_text="A user's id; null: nobody's.")
    version = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    retry_of = serializers.UUIDField(allow_null=True)
    elapsed = serializers.FloatField(
        min_value=0, allow_null=True, help_text="Seconds since the start, or of the whole run; null before."
    )
    throughput = serializers.FloatField(
        min_value=0, allow_null=True, help_text="Things done per second since the start; null: not known."
    )
    eta = serializers.FloatField(
        min_value=0, allow_null=True, help_text="Seconds that it may still take; null: not known."
    )


class TaskAnswer(TaskBody):
    """A task, and the position its state is at least as new as."""

    position = _position()


class TaskList(serializers.Serializer[Any]):
    """A page of tasks, newest first. `next` and `previous` are references relative to this site."""

    results = TaskBody(many=True)
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    position = _position()


class LineBody(serializers.Serializer[Any]):
    """A line of a task's log. Numbers count from 1 without a gap."""

    number = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    level = serializers.ChoiceField(LINE_LEVELS)
    text = serializers.CharField(allow_blank=True)
    truncated = serializers.BooleanField(required=False, help_text="true: the end of a long line is missing.")
    timestamp = serializers.DateTimeField()


class LineList(serializers.Serializer[Any]):
    """Lines of a task, in their order."""

    lines = LineBody(many=True)
    earlier = serializers.BooleanField(help_text="There are lines `before` the first of these.")
    later = serializers.BooleanField(help_text="There are lines `after` the last of these.")
    position = _position()


def _frame_schema(frame: type[server.Frame]) -> dict[str, Any]:
    """Return a frame's schema without what never stands in an answer."""
    schema: dict[str, Any] = msgspec.json.schema(frame)["$defs"][frame.__name__]
    properties = schema["properties"]
    properties.pop("request_id")
    for name, about in properties.items():
        # An optional text is left out when there is none; OpenAPI 3.0 has no null.
        kinds = [kind for kind in about.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            properties[name] = kinds[0]
    schema["properties"] = {name: _plain(about) for name, about in properties.items()}
    return schema


def _plain(about: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in about.items() if key != "default"}


@extend_schema_field({"oneOf": [_frame_schema(frame) for frame in EVENT_FRAMES]})
class _FrameField(serializers.JSONField):
    pass


class EventList(serializers.Serializer[Any]):
    """What happened after the cursor; or, without a good one, how things are: frames with `snapshot`."""

    events = serializers.ListField(child=_FrameField(), help_text="Frames as a WebSocket would send them.")
    position = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, help_text="What to ask for next, as `after`."
    )
    more = serializers.BooleanField(help_text="There is more already: ask again at once.")
    truncated = serializers.BooleanField(help_text="The snapshot of a topic left tasks out.")
    reset = serializers.ChoiceField(
        ["expired", "unknown_position", "too_far_behind"],
        allow_null=True,
        help_text="Why the cursor was of no use: forget all rows, this is a snapshot.",
    )


_TASK = {
    "task_id": "65c5d3c5-47ba-4c63-aec6-9e4943b37d85",
    "name": "Import of customers.csv",
    "status": "running",
    "progress": 40,
    "total": 300,
    "done": 120,
    "phase": "Reading",
    "message": "120 of 300 rows",
    "result": None,
    "error": "",
    "cancel_requested_at": None,
    "created_at": "2026-11-21T00:50:16.536Z",
    "updated_at": "2026-11-21T00:50:19.071Z",
    "started_at": "2026-11-21T00:50:19.057Z",
    "finished_at": None,
    "owner": "1",
    "version": 3,
    "retry_of": None,
}
TASK_EXAMPLE = OpenApiExample(
    "A running task",
    {**_TASK, "elapsed": 60.014, "throughput": 2.0, "eta": 90.021, "position": 1795222216541845},
    response_only=True,
    status_codes=["200"],
)
LINES_EXAMPLE = OpenApiExample(
    "The last lines",
    {
        "lines": [
            {
                "number": 41,
                "level": "warning",
                "text": "Row 119 has no address.",
                "timestamp": "2026-11-21T00:50:19.065Z",
            }
        ],
        "earlier": True,
        "later": False,
        "position": 1795222216541845,
    },
    response_only=True,
    status_codes=["200"],
)
EVENTS_EXAMPLE = OpenApiExample(
    "One change",
    {
        "events": [
            {
                "type": "task_update",
                "timestamp": "2026-11-21T00:50:19.071Z",
                "id": 1795222216541845,
                "task_id": _TASK["task_id"],
                "data": _TASK,
            }
        ],
        "position": 1795222216541845,
        "more": False,
        "truncated": False,
        "reset": None,
    },
    response_only=True,
    status_codes=["200"],
)
NEW_TASK_EXAMPLE = OpenApiExample(
    "A task of one's own", {"name": "Import of customers.csv", "total": 300}, request_only=True
)
CHANGE_EXAMPLE = OpenApiExample(
    "A worker's report",
    {"done": 120, "phase": "Reading", "message": "120 of 300 rows"},
    request_only=True,
)
