"""A log event with its encoded frames, each made once for everybody who receives it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec
from msgspec import UNSET

from realtime import sse
from realtime.events import BROADCAST, TASK_KINDS, TASK_UPDATE, LogEvent
from realtime.protocol import server
from realtime.topics import keys_of

Payload = str | bytes
_encode = msgspec.json.Encoder().encode


def frame_of(event: LogEvent, *, removed: bool = False, with_id: bool = True) -> server.Frame:
    """Return the frame that tells a client of ``event``; ``removed`` for one who loses the task."""
    id = event.position if with_id else UNSET
    if removed:
        return server.TaskRemoved(
            id=id, timestamp=event.timestamp, task_id=event.task_id, version=event.version
        )
    if event.kind == TASK_UPDATE:
        return server.TaskUpdate(id=id, timestamp=event.timestamp, task_id=event.task_id, data=event.data)
    if event.kind == BROADCAST:
        return server.Broadcast(
            id=id,
            timestamp=event.timestamp,
            broadcast_id=str(event.data.get("broadcast_id", "")),
            message=event.data.get("message", {}),
            sender=event.data.get("sender"),
        )
    if event.kind == "broadcast_retracted":
        return server.BroadcastRetracted(
            id=id,
            timestamp=event.timestamp,
            broadcast_id=str(event.data.get("broadcast_id", "")),
        )
    return server.TaskDeleted(id=id, timestamp=event.timestamp, task_id=event.task_id, version=event.version)


def as_text(frame: server.Frame) -> str:
    """Encode a frame for a JSON WebSocket."""
    return _encode(frame).decode()


@cache
def as_stream(retry_ms: int) -> Callable[[server.Frame], bytes]:
    """Return the encoder of an event stream; ``connected`` and final updates carry ``retry``.

    The same one for the same ``retry_ms``: a delivery keeps one wire form per encoder.
    """

    def encode(frame: server.Frame) -> bytes:
        id = None if frame.id is UNSET else frame.id
        final = isinstance(frame, server.Connected) or (
            isinstance(frame, server.TaskUpdate) and frame.data.get("finished_at") is not None
        )
        return sse.encode_json(_encode(frame), frame.type, id, retry_ms if final else None)

    return encode


class Delivery:
    """An event on its way out. Equal frames are encoded once per encoder and kept."""

    __slots__ = ("_encoded", "event", "final", "is_task", "keys", "position", "size")

    def __init__(self, event: LogEvent) -> None:
        self.event = event
        self.position = event.position
        # Asked for every client: found out once.
        self.is_task, self.final = event.kind in TASK_KINDS, event.final
        self.keys = tuple(keys_of(event))
        #: Bytes of the JSON of the event, the measure of every buffer it lies in.
        self.size = len(_encode(event.data)) + 200 if self.keys else 200
        self._encoded: dict[tuple[object, bool], Payload] = {}

    def encoded(self, encode: Callable[[server.Frame], Payload], removed: bool = False) -> Payload:
        """Return the frame's wire form for ``encode``, made at the first call."""
        key = (encode, removed)
        payload = self._encoded.get(key)
        if payload is None:
            payload = self._encoded[key] = encode(frame_of(self.event, removed=removed))
        return payload
