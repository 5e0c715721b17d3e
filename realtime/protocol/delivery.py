"""A log event with its encoded frames, each made once for everybody who receives it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET

from realtime import sse
from realtime.events import (
    BROADCAST,
    BROADCAST_RETRACTED,
    TASK_KINDS,
    TASK_LOG,
    TASK_UPDATE,
    TOPIC_EVENT,
    LogEvent,
    with_audience,
)
from realtime.protocol import server
from realtime.topics import keys_of

Payload = str | bytes
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


def frame_of(
    event: LogEvent, *, removed: bool = False, with_id: bool = True, snapshot: bool = False
) -> server.Frame:
    """Return the frame that tells a client of ``event``; ``removed`` for one who loses the task.

    ``snapshot`` is for a notice that is still in its window, and for what a topic's snapshot may not hold.
    """
    id = event.position if with_id and not snapshot else UNSET
    if removed:
        return server.TaskRemoved(
            id=id, timestamp=event.timestamp, task_id=event.task_id, version=event.version
        )
    if event.kind == TASK_UPDATE:
        return server.TaskUpdate(id=id, timestamp=event.timestamp, task_id=event.task_id, data=event.data)
    if event.kind == TASK_LOG:
        return server.TaskLog(id=id, timestamp=event.timestamp, task_id=event.task_id, data=event.data)
    if event.kind == BROADCAST:
        return server.Broadcast(
            id=id,
            timestamp=event.timestamp,
            broadcast_id=str(event.data.get("broadcast_id", "")),
            message=event.data.get("message", {}),
            sender=event.data.get("sender"),
            snapshot=snapshot,
        )
    if event.kind == BROADCAST_RETRACTED:
        return server.BroadcastRetracted(
            id=id,
            timestamp=event.timestamp,
            broadcast_id=str(event.data.get("broadcast_id", "")),
        )
    if event.kind == TOPIC_EVENT:
        return server.TopicEvent(
            id=id,
            timestamp=event.timestamp,
            topic=event.topic,
            event=str(event.data.get("event", "")),
            data=event.data.get("data", {}),
            snapshot=snapshot,
        )
    return server.TaskDeleted(id=id, timestamp=event.timestamp, task_id=event.task_id, version=event.version)


def as_text(frame: server.Frame) -> str:
    """Encode a frame for a JSON WebSocket."""
    return _encode(frame).decode()


def as_msgpack(frame: server.Frame) -> bytes:
    """Encode a frame for a WebSocket with the subprotocol ``realtime.msgpack``: the same object.

    Except that MessagePack has no whole numbers beyond 64 bits: in a result they become the nearest float,
    as in JavaScript, or text where there is none.
    """
    try:
        return _pack(frame)
    except OverflowError:
        return _pack(_with_short_numbers(msgspec.to_builtins(frame)))


def _with_short_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_short_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_short_numbers(inner) for inner in value]
    if not isinstance(value, int) or -(2**63) <= value < 2**64:
        return value
    try:
        return float(value)
    except OverflowError:
        return str(value)


@cache
def as_stream(retry_ms: int) -> Callable[[server.Frame], bytes]:
    """Return the encoder of an event stream; ``connected`` and final updates carry ``retry``.

    So does ``reconnect``: its own pause.
    The same one for the same ``retry_ms``: a delivery keeps one wire form per encoder.
    """

    def encode(frame: server.Frame) -> bytes:
        id = None if frame.id is UNSET else frame.id
        final = isinstance(frame, server.Connected) or (
            isinstance(frame, server.TaskUpdate) and frame.data.get("finished_at") is not None
        )
        retry = frame.after_ms if isinstance(frame, server.Reconnect) else retry_ms if final else None
        return sse.encode_json(_encode(frame), frame.type, id, retry)

    return encode


class Delivery:
    """An event on its way out. Equal frames are encoded once per encoder and kept."""

    __slots__ = ("_encoded", "event", "final", "is_line", "is_task", "keys", "position", "size")

    def __init__(self, event: LogEvent) -> None:
        self.event = event = with_audience(event)
        self.position = event.position
        # Asked for every client: found out once.
        self.is_task, self.final = event.kind in TASK_KINDS, event.final
        self.is_line = event.kind == TASK_LOG
        self.keys = tuple(keys_of(event))
        #: Bytes of the JSON of the event, the measure of every buffer it lies in.
        self.size = len(_encode(event.data)) + 200 if self.keys else 200
        self._encoded: dict[tuple[object, bool], Payload] = {}

    def encoded(self, encode: Callable[[server.Frame], Payload], removed: bool = False) -> Payload:
        """Return the frame's wire form for ``encode``, made at the first call."""
        key = (encode, removed)
        payload = self._encoded.get(key)
        if payload is None:
            # Who writes pages wants the event: its frame does not tell that a task changed hands. There is
            # one for each language and time zone, and each keeps the latest itself: not the whole ring.
            of_event: Any = getattr(encode, "of_event", None)
            if of_event is not None:
                pages: Payload = of_event(self.event, removed)
                return pages
            payload = self._encoded[key] = encode(frame_of(self.event, removed=removed))
        return payload
