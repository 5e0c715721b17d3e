"""The channel layer as a doorbell: events go out to one group, and one hub per process listens (``ear.py``).

The layer may lose, repeat or reorder what it carries; the log is what counts, so every failure here
costs latency and never data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from channels.layers import InMemoryChannelLayer, get_channel_layer

from realtime.conf import conf
from realtime.events import TASK_KINDS, LogEvent

#: One group for all: only a process that sees every position can tell that one is missing.
GROUP = "realtime.log"
#: Bytes of events in one message; what would be larger says only how far the log goes.
MESSAGE_BYTES = 65_536
#: Seconds for one send or join.
DEADLINE = 5.0

_decoder = msgspec.json.Decoder(list[LogEvent])


def messages(events: Iterable[LogEvent]) -> Iterator[dict[str, Any]]:
    """Yield the layer messages that carry ``events``; events as JSON bytes, opaque to every layer."""
    encoded: list[bytes] = []
    size, last = 0, 0
    for event in events:
        raw = msgspec.json.encode(event)
        # With the brackets, and a comma for each.
        if encoded and size + len(raw) + len(encoded) + 2 > MESSAGE_BYTES:
            yield _message(encoded, last)
            encoded, size = [], 0
        encoded.append(raw)
        size, last = size + len(raw), event.position
    if encoded:
        yield _message(encoded, last)


def _message(encoded: list[bytes], last: int) -> dict[str, Any]:
    body = b"[" + b",".join(encoded) + b"]"
    if len(body) > MESSAGE_BYTES:
        return {"type": "realtime.head", "position": last}
    return {"type": "realtime.events", "events": body}


def decode(message: dict[str, Any]) -> tuple[list[LogEvent], int]:
    """Return the events of a layer message and the position it says the log has reached, or 0."""
    if message.get("type") == "realtime.head":
        return [], int(message["position"])
    return _decoder.decode(message["events"]), 0


def crosses_processes() -> bool:
    """Tell whether the configured layer reaches other processes at all."""
    layer = get_channel_layer()
    return layer is not None and not isinstance(layer, InMemoryChannelLayer)


async def send(events: list[LogEvent], layer: Any = None) -> None:
    """Ring the doorbell. Raises what the layer raises, and ``TimeoutError``; the log carries anyway."""
    layer = layer or get_channel_layer()
    if layer is None:
        return
    async with asyncio.timeout(DEADLINE):
        for message in messages(events):
            await layer.group_send(GROUP, message)
        if conf.TASK_GROUPS:
            for event in events:
                if event.kind in TASK_KINDS:
                    await layer.group_send(f"task.{event.task_id}", task_message(event))


def task_message(event: LogEvent) -> dict[str, Any]:
    """Return what the group ``task.<id>`` receives, for people's own consumers (``TASK_GROUPS``)."""
    return {
        "type": event.kind.replace("_", "."),
        "position": event.position,
        "task_id": event.task_id,
        "version": event.version,
        "data": event.data,
    }
