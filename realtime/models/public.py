"""The public form of a task: what an event, a snapshot and the API tell of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from realtime.conf import conf
from realtime.events import TASK_UPDATE, rfc3339
from realtime.models.log import Event

if TYPE_CHECKING:
    from realtime.models.task import Task

#: Fields everybody sees who may see the task. ``traceback`` and the lease are not among them.
PUBLIC_FIELDS = (
    "name",
    "status",
    "progress",
    "total",
    "done",
    "phase",
    "message",
    "result",
    "error",
    "cancel_requested_at",
    "created_at",
    "updated_at",
    "started_at",
    "finished_at",
)
#: What may be left out of an event that would be too large; it stays whole over HTTP.
_DROPPABLE = ("result", "error", "message", "phase", "name")


def whole_data(task: Task) -> dict[str, Any]:
    """Return every public field of ``task`` as JSON values, whatever their size."""
    data: dict[str, Any] = {"task_id": str(task.pk)}
    for name in PUBLIC_FIELDS:
        value = getattr(task, name)
        data[name] = rfc3339(value) if isinstance(value, datetime) else value
    data["owner"] = owner_text(task) or None
    data["version"] = task.version
    data["retry_of"] = str(task.retry_of_id) if task.retry_of_id else None
    return data


def public_data(task: Task) -> dict[str, Any]:
    """Return the public fields, the largest left out until they fit ``MAX_EVENT_SIZE`` bytes.

    What was left out is named in ``truncated``. A frame over a server's limit would close the
    connection at every resume, for ever.
    """
    data = whole_data(task)
    limit = conf.MAX_EVENT_SIZE
    size = len(msgspec.json.encode(data))
    if size <= limit:
        return data
    sizes = {name: len(msgspec.json.encode(data[name])) for name in _DROPPABLE}
    for name in sorted(_DROPPABLE, key=lambda n: -sizes[n]):
        del data[name]
        data.setdefault("truncated", []).append(name)
        size = len(msgspec.json.encode(data))
        if size <= limit:
            break
    return data


def owner_text(task: Task) -> str:
    """Return the owner's id as the log writes it, "" for nobody."""
    return "" if task.owner_id is None else str(task.owner_id)


def update_event(task: Task, previous_owner: str | None = None) -> Event:
    """Return the row that records ``task`` as it is now, after a change."""
    owner = owner_text(task)
    return Event(
        kind=TASK_UPDATE,
        task_id=str(task.pk),
        owner=owner,
        previous_owner=previous_owner if previous_owner and previous_owner != owner else "",
        version=task.version,
        data=public_data(task),
        created_at=task.updated_at,
    )
