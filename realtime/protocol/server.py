"""Frames the server sends: one struct each, from which the wire form and the schemas are made."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from realtime.protocol.client import RequestId

Id = int | UnsetType


class Frame(msgspec.Struct, kw_only=True, tag_field="type", omit_defaults=True):
    """What every frame has. ``id`` is the position served so far; a client's cursor."""

    timestamp: str
    id: Id = UNSET
    request_id: RequestId = None

    @property
    def type(self) -> str:
        """The frame's ``type``, also the name of its Server-Sent Event."""
        return str(self.__struct_config__.tag)


class Connected(Frame, kw_only=True, tag="connected"):
    """The first frame. ``position`` is information, not a cursor; intervals are seconds."""

    connection_id: str
    user_id: str
    message: str
    protocol: str
    position: int
    heartbeat_interval: float
    actions: list[str]
    expires_at: str | None


class TaskUpdate(Frame, kw_only=True, tag="task_update"):
    """A task's public fields after a change, or (``snapshot``) as they are now."""

    task_id: str
    data: dict[str, Any]
    snapshot: bool = False


class TaskDeleted(Frame, kw_only=True, tag="task_deleted"):
    """The task is gone."""

    task_id: str
    version: int


class TaskRemoved(Frame, kw_only=True, tag="task_removed"):
    """The task is somebody else's now."""

    task_id: str
    version: int


class TaskLog(Frame, kw_only=True, tag="task_log"):
    """A line of the task's log: ``number``, ``level``, ``text``; ``truncated`` when its end is missing."""

    task_id: str
    data: dict[str, Any]


class Broadcast(Frame, kw_only=True, tag="broadcast"):
    """A notice to everybody in its audience."""

    broadcast_id: str
    message: dict[str, Any]
    sender: str | None = None
    snapshot: bool = False


class BroadcastRetracted(Frame, kw_only=True, tag="broadcast_retracted"):
    """A notice to be taken away."""

    broadcast_id: str


class TopicEvent(Frame, kw_only=True, tag="topic_event"):
    """Something happened in one of the project's own topics: ``event`` says what.

    With ``snapshot``, ``event`` is ``snapshot`` and ``data`` how things are; after it perhaps what has
    happened since.
    """

    topic: str
    event: str
    data: dict[str, Any]
    snapshot: bool = False


class Subscribed(Frame, kw_only=True, tag="subscribed"):
    """What was asked for is being served, from ``position`` on."""

    position: int
    task_ids: list[str]
    topics: list[str]
    task_id: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET


class Unsubscribed(Frame, kw_only=True, tag="unsubscribed"):
    """What was asked for is served no longer."""

    position: int
    task_ids: list[str]
    topics: list[str]
    task_id: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class Reset(Frame, kw_only=True, tag="reset"):
    """The cursor is gone: forget all rows; fresh snapshots follow."""

    reason: Literal["expired", "unknown_position", "too_far_behind"]


class Ping(Frame, kw_only=True, tag="ping"):
    """Answer with ``pong`` and the same ``t``."""

    t: float


class Pong(Frame, kw_only=True, tag="pong"):
    """The answer to a client's ``ping``."""

    t: int | float | str | None = None


class Heartbeat(Frame, kw_only=True, tag="heartbeat"):
    """Nothing happened; the stream is alive and the cursor moves on."""

    t: float


class Status(Frame, kw_only=True, tag="status"):
    """The connection's own figures; round-trip times in milliseconds, null until measured."""

    connection_id: str
    since: str
    rtt_last: float | None
    rtt_mean: float | None
    task_ids: list[str]
    topics: list[str]
    position: int
    sent: int
    behind: bool


class Authenticated(Frame, kw_only=True, tag="authenticated"):
    """The new token was accepted."""

    expires_at: str | None


class Error(Frame, kw_only=True, tag="error"):
    """Something could not be served; the socket stays open unless a close follows."""

    code: str
    message: str
    task_id: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET


class Reconnect(Frame, kw_only=True, tag="reconnect"):
    """This process ends: come back after so many milliseconds, and resume. The connection then closes."""

    after_ms: int
    reason: str


class Done(Frame, kw_only=True, tag="done"):
    """The task's final state has been sent; it is subscribed no longer."""

    task_id: str


FRAMES: tuple[type[Frame], ...] = (
    Connected,
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
    Ping,
    Pong,
    Heartbeat,
    Status,
    Authenticated,
    Error,
    Done,
    Reconnect,
)
