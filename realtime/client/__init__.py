"""The Python client: follow tasks of a site from anywhere, over any break of the line.

Needs neither Django nor a configured project: ``websockets``, ``httpx`` and ``msgspec``, no more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from realtime.client.errors import (
    ClientClosed,
    ClientError,
    Denied,
    NotFound,
    Overdue,
    TaskCancelled,
    TaskFailed,
    Unreachable,
)
from realtime.client.events import (
    Broadcast,
    BroadcastRetracted,
    Event,
    Line,
    Notice,
    Reset,
    Subscribed,
    TaskDeleted,
    TaskLog,
    TaskRemoved,
    TaskState,
    TaskUpdate,
    TopicEvent,
    Unsubscribed,
)
from realtime.client.timing import Timing

if TYPE_CHECKING:
    from realtime.client.client import Client
    from realtime.client.sync import SyncClient

__all__ = [
    "Broadcast",
    "BroadcastRetracted",
    "Client",
    "ClientClosed",
    "ClientError",
    "Denied",
    "Event",
    "Line",
    "NotFound",
    "Notice",
    "Overdue",
    "Reset",
    "Subscribed",
    "SyncClient",
    "TaskCancelled",
    "TaskDeleted",
    "TaskFailed",
    "TaskLog",
    "TaskRemoved",
    "TaskState",
    "TaskUpdate",
    "Timing",
    "TopicEvent",
    "Unreachable",
    "Unsubscribed",
]

#: What brings the packages of the network; events and errors are of use without.
_LATER = {"Client": "realtime.client.client", "SyncClient": "realtime.client.sync"}


def __getattr__(name: str) -> Any:
    """Return a client's class, loaded when it is first asked for (PEP 562)."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
