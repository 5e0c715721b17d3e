"""What a watch yields: the frames of docs/protocol.md that tell something, as frozen values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from realtime.events import FINAL


class TaskState(msgspec.Struct, frozen=True, kw_only=True):
    """A task's public fields. Those too large for an event have their default, and are in ``truncated``.

    ``elapsed``, ``throughput`` and ``eta`` (seconds, things per second, seconds) come over HTTP only.
    """

    task_id: str
    status: str
    version: int
    name: str = ""
    progress: int = 0
    total: int | None = None
    done: int = 0
    phase: str = ""
    message: str = ""
    result: Any = None
    error: str = ""
    owner: str | None = None
    retry_of: str | None = None
    cancel_requested_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    truncated: tuple[str, ...] = ()
    elapsed: float | None = None
    throughput: float | None = None
    eta: float | None = None

    @property
    def final(self) -> bool:
        """Whether its work is over: completed, failed or cancelled."""
        return self.status in FINAL


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a task's log; numbers count from 1 without a gap."""

    number: int
    level: str
    text: str
    truncated: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a broadcast says."""

    type: str
    level: str
    message: str
    title: str = ""
    data: Any = None
    dismissible: bool = True
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event has. ``id`` is its position in the log; a row of a snapshot has none."""

    timestamp: datetime
    id: int | None = None

    @property
    def type(self) -> str:
        """The frame's ``type``."""
        return str(self.__struct_config__.tag)


class TaskUpdate(Event, frozen=True, kw_only=True, tag="task_update"):
    """A task after a change; or (``snapshot``) as it is now."""

    task_id: str
    task: TaskState = msgspec.field(name="data")
    snapshot: bool = False


class TaskDeleted(Event, frozen=True, kw_only=True, tag="task_deleted"):
    """The task is gone."""

    task_id: str
    version: int


class TaskRemoved(Event, frozen=True, kw_only=True, tag="task_removed"):
    """The task is somebody else's now."""

    task_id: str
    version: int


class TaskLog(Event, frozen=True, kw_only=True, tag="task_log"):
    """A line that the task's worker has told; for tasks that are watched by their id."""

    task_id: str
    line: Line = msgspec.field(name="data")


class Broadcast(Event, frozen=True, kw_only=True, tag="broadcast"):
    """A notice; only where the topic ``broadcasts`` is watched."""

    broadcast_id: str
    notice: Notice = msgspec.field(name="message")
    sender: str | None = None
    snapshot: bool = False


class BroadcastRetracted(Event, frozen=True, kw_only=True, tag="broadcast_retracted"):
    """A notice was taken back."""

    broadcast_id: str


class TopicEvent(Event, frozen=True, kw_only=True, tag="topic_event"):
    """What the site has published about a topic of its own: ``event`` says what.

    With ``snapshot`` it is how things are: ``event`` is ``snapshot``; perhaps with what has happened since.
    """

    topic: str
    event: str
    data: dict[str, Any] = {}
    snapshot: bool = False


class Subscribed(Event, frozen=True, kw_only=True, tag="subscribed"):
    """The snapshot before it is complete: what it did not name is there no more.

    ``truncated`` says that it left tasks out. Coming back after a cut brings none: nothing was missed.
    """

    position: int
    task_ids: tuple[str, ...]
    topics: tuple[str, ...]
    truncated: bool = False


class Unsubscribed(Event, frozen=True, kw_only=True, tag="unsubscribed"):
    """These are watched no longer; ``reason`` is an error code: they are gone, or may not be seen."""

    task_ids: tuple[str, ...]
    topics: tuple[str, ...] = ()
    reason: str = ""


class Reset(Event, frozen=True, kw_only=True, tag="reset"):
    """Some events cannot be had any more: forget all rows, a whole snapshot follows."""

    reason: str


EVENTS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        TaskUpdate,
        TaskDeleted,
        TaskRemoved,
        TaskLog,
        Broadcast,
        BroadcastRetracted,
        TopicEvent,
        Subscribed,
        Unsubscribed,
        Reset,
    )
}


def event_of(frame: dict[str, Any]) -> Event:
    """Return the event that a frame tells. Raises ``msgspec.ValidationError`` for one that tells none."""
    return msgspec.convert(frame, EVENTS[frame["type"]])
