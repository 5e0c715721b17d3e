"""``/api/tasks/``: list, create, read, change as a worker does, cancel, retry, delete.

Whoever may not see a task hears of it what he would hear of one that does not exist.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import log
from realtime.api import answers, listing
from realtime.api.answers import TaskAnswer, TaskList, position_header, positioned, task_answer, task_body
from realtime.api.base import RealtimeView, viewer
from realtime.api.parameters import Parameters
from realtime.api.schema import describe, error
from realtime.api.serializers import NewTask, TaskChange, checked
from realtime.events import FINAL, RUNNING, STATUSES
from realtime.exceptions import (
    FORBIDDEN,
    ILLEGAL_TRANSITION,
    INVALID_PARAMETER,
    NOT_FOUND,
    TASK_CANCELLED,
    Refused,
    TaskCancelled,
)
from realtime.models import Task
from realtime.models.public import owner_text
from realtime.models.queryset import lock_rows
from realtime.models.transitions import percent
from realtime.permissions import ADD_TASK, CHANGE_TASK, DELETE_TASK, may


def find(request: Request, task_id: str) -> Task:
    """Return a task the caller may see. Raises ``Refused``, the same for every reason there is not to."""
    try:
        pk = uuid.UUID(task_id)
    except ValueError:
        raise Refused(NOT_FOUND) from None
    task = listing.visible(viewer(request)).filter(pk=pk).first()
    if task is None:
        raise Refused(NOT_FOUND)
    return task


def demand(request: Request, task: Task, permission: str) -> None:
    """Raise ``Refused`` unless the task is the caller's, or he has the permission."""
    if owner_text(task) != viewer(request).user_id and not may(request.user, permission):
        raise Refused(FORBIDDEN)


class Tasks(RealtimeView):
    """The tasks that the caller may see."""

    @describe(
        operation_id="list_tasks",
        parameters=[
            OpenApiParameter("status", str, many=True, enum=STATUSES),
            OpenApiParameter("active", bool, description="true: pending or running; false: the others."),
            OpenApiParameter("owner", str, description="A user's id."),
            OpenApiParameter(
                "search",
                {"type": "string", "maxLength": 255},
                description="How the name begins, in any case.",
            ),
            OpenApiParameter("created_after", datetime, description="From then on."),
            OpenApiParameter("created_before", datetime, description="Before then."),
            OpenApiParameter("retry_of", uuid.UUID, description="A task's id."),
            OpenApiParameter("cursor", str, description="Stands in `next` and `previous`."),
            OpenApiParameter(
                "page_size",
                {"type": "integer", "minimum": 1, "maximum": listing.MOST, "default": listing.PAGE_SIZE},
            ),
            position_header(200),
        ],
        responses={200: TaskList, 400: error(400, INVALID_PARAMETER)},
    )
    def get(self, request: Request) -> Response:
        """List tasks, newest first."""
        asked = Parameters(request, listing.PARAMETERS)
        position = log.position()
        page = listing.page(listing.visible(viewer(request)), asked)
        body = {
            "results": [task_body(task) for task in page.tasks],
            "next": _link(request, page.next),
            "previous": _link(request, page.previous),
        }
        return positioned(body, position)

    @describe(
        operation_id="create_task",
        parameters=[position_header(201)],
        request=NewTask,
        responses={201: TaskAnswer},
        examples=[answers.NEW_TASK_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Create a pending task."""
        values = checked(NewTask(data=request.data))
        owner_id = viewer(request).user_id
        wanted = values.pop("owner", owner_id)
        if wanted != owner_id and not may(request.user, ADD_TASK):
            raise Refused(FORBIDDEN, f"A task for another user needs the permission {ADD_TASK}.")
        owner = request.user if wanted == owner_id else _user(wanted)
        position = log.position()
        task = Task(owner_id=owner.pk, **values)
        task.save()
        return _created(task, position)


class OneTask(RealtimeView):
    """One task."""

    @describe(
        operation_id="get_task",
        parameters=[position_header(200)],
        responses={200: TaskAnswer},
        examples=[answers.TASK_EXAMPLE],
    )
    def get(self, request: Request, task_id: str) -> Response:
        """Read a task, with the fields that were too large for an event."""
        position = log.position()
        return task_answer(find(request, task_id), position)

    @describe(
        operation_id="change_task",
        parameters=[position_header(200)],
        request=TaskChange,
        responses={200: TaskAnswer, 409: error(409, ILLEGAL_TRANSITION, TASK_CANCELLED)},
        examples=[answers.CHANGE_EXAMPLE, answers.TASK_EXAMPLE],
    )
    def patch(self, request: Request, task_id: str) -> Response:
        """Report on a task, as its worker: one change, one event.

        `409 task_cancelled` says that somebody asked the task to stop. Nothing was written; finish it, with
        `status` `cancelled`.
        """
        task = find(request, task_id)
        demand(request, task, CHANGE_TASK)
        values = checked(TaskChange(data=request.data, partial=True))
        position = log.position()
        return task_answer(_write(task.pk, values), position)

    @describe(
        operation_id="delete_task",
        parameters=[position_header(204)],
        request=None,
        responses={204: None},
    )
    def delete(self, request: Request, task_id: str) -> Response:
        """Delete a task, whatever its status."""
        task = find(request, task_id)
        demand(request, task, DELETE_TASK)
        position = log.position()
        task.delete()
        return positioned(None, position, 204)


class CancelTask(RealtimeView):
    """The wish that a task stops."""

    @describe(
        operation_id="cancel_task",
        parameters=[position_header(200)],
        request=None,
        responses={200: TaskAnswer, 409: error(409, ILLEGAL_TRANSITION)},
        examples=[answers.TASK_EXAMPLE],
    )
    def post(self, request: Request, task_id: str) -> Response:
        """Ask a task to stop. A pending one is cancelled at once, a running one by its worker."""
        task = find(request, task_id)
        demand(request, task, CHANGE_TASK)
        position = log.position()
        task.cancel()
        return task_answer(task, position)


class RetryTask(RealtimeView):
    """Another try of a finished task."""

    @describe(
        operation_id="retry_task",
        parameters=[position_header(201)],
        request=None,
        responses={201: TaskAnswer, 409: error(409, ILLEGAL_TRANSITION)},
    )
    def post(self, request: Request, task_id: str) -> Response:
        """Make a new pending task of a finished one."""
        task = find(request, task_id)
        demand(request, task, ADD_TASK)
        position = log.position()
        return _created(task.retry(), position)


def _write(pk: uuid.UUID, values: dict[str, Any]) -> Task:
    """Write what a worker told, onto the row as it is now. Raises ``TaskCancelled``, with nothing written."""
    using = router.db_for_write(Task)
    with transaction.atomic(using=using):
        rows = lock_rows(Task, [pk], using)
        if not rows:
            raise Refused(NOT_FOUND)
        task = rows[0]
        if task.status == RUNNING and task.cancel_requested_at and values.get("status") not in FINAL:
            raise TaskCancelled
        if "progress" not in values and values.keys() & {"done", "total"}:
            share = percent(values.get("done", task.done), values.get("total", task.total))
            values = values if share is None else {**values, "progress": share}
        for name, value in values.items():
            setattr(task, name, value)
        task.save(using=using)
    return task


def _user(user_id: str) -> Any:
    """Return the user of that id. Raises ``ValidationError`` when there is none."""
    key = listing.user_key(user_id)
    found = None if key is None else get_user_model()._default_manager.filter(pk=key).first()
    if found is None:
        raise drf.ValidationError({"owner": [drf.ErrorDetail("There is no such user.", "unknown_user")]})
    return found


def _created(task: Task, position: int) -> Response:
    return task_answer(task, position, 201, Location=reverse("realtime:task", args=[task.pk]))


def _link(request: Request, cursor: str | None) -> str | None:
    """Return the reference to another page of the same list, relative to the site (RFC 3986 §4.2).

    Not a whole URL: behind a proxy that ends TLS it could begin with http, and the token would follow.
    """
    if cursor is None:
        return None
    asked = [(n, v) for n, values in request.query_params.lists() for v in values if n != "cursor"]
    return f"{request.path}?{urlencode([*asked, ('cursor', cursor)])}"
