"""``/api/tasks/<id>/log/``: the last lines of a task, and those after or before any number."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import log
from realtime.api import answers
from realtime.api.answers import LineList, position_header, positioned
from realtime.api.base import RealtimeView
from realtime.api.parameters import Parameters, wrong
from realtime.api.schema import describe, error
from realtime.api.tasks import find
from realtime.exceptions import INVALID_PARAMETER
from realtime.models import TaskLog

#: Lines in one answer at most, and about how many characters.
MOST, CHARACTERS = 1000, 1_000_000
#: Lines read first, to see how long they are.
FIRST = 100
_HIGHEST = 10**18 - 1


def _number(name: str, description: str) -> OpenApiParameter:
    schema = {"type": "integer", "minimum": 0, "maximum": _HIGHEST}
    return OpenApiParameter(name, schema, description=description)


class TaskLines(RealtimeView):
    """The log of one task."""

    @describe(
        operation_id="list_task_log",
        parameters=[
            _number("after", "Only lines with higher numbers, from the first of them on."),
            _number("before", "Only lines with lower numbers, the last of them. Not together with `after`."),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST}),
            position_header(200),
        ],
        responses={200: LineList, 400: error(400, INVALID_PARAMETER)},
        examples=[answers.LINES_EXAMPLE],
    )
    def get(self, request: Request, task_id: str) -> Response:
        """Read the last lines of a task's log; or those after a number, or before one.

        Fewer than `limit` when they are long. To miss none: subscribe to the task first, then read this,
        then drop what comes live with a `number` you hold.
        """
        asked = Parameters(request, ("after", "before", "limit"))
        after, before = _asked(asked, "after"), _asked(asked, "before")
        if after is not None and before is not None:
            raise wrong("before", "Not together with after.")
        limit = asked.whole("limit", 1, MOST, MOST)
        position = log.position()
        lines = TaskLog.objects.using(log.database()).filter(task_id=find(request, task_id).pk)
        if after is not None:
            found = _some(lines.filter(number__gt=after).order_by("number"), limit)
        else:
            wanted = lines if before is None else lines.filter(number__lt=before)
            found = _some(wanted.order_by("-number"), limit)[::-1]
        first, last = (found[0].number, found[-1].number) if found else (before or _HIGHEST, after or 0)
        body: dict[str, Any] = {
            "lines": [line.written() for line in found],
            "earlier": lines.filter(number__lt=first).exists(),
            "later": lines.filter(number__gt=last).exists(),
        }
        return positioned(body, position)


def _asked(asked: Parameters, name: str) -> int | None:
    return None if asked.one(name) is None else asked.whole(name, 0, _HIGHEST, 0)


def _some(rows: QuerySet[TaskLog], limit: int) -> list[TaskLog]:
    """Return the first rows, at most ``limit`` and about :data:`CHARACTERS`; the first of them always."""
    found: list[TaskLog] = []
    room, ask = CHARACTERS, min(FIRST, limit)
    while True:
        more = list(rows[len(found) : len(found) + ask])
        found += more
        size = sum(len(line.text) for line in more) + 1
        room -= size
        if len(more) < ask or len(found) >= limit or room <= 0:
            return found
        # The first tell how long they are; so many more are asked for as fit.
        ask = max(1, min(limit - len(found), room * len(more) // size))
