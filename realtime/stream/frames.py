"""The frames a stream makes of its own state, and the figures it keeps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, UnsetType

from realtime.conf import conf
from realtime.events import now, rfc3339
from realtime.exceptions import RESTARTING, Problem, Refused
from realtime.protocol import client, server
from realtime.protocol.delivery import frame_of
from realtime.publishing import SNAPSHOT
from realtime.snapshots import Snapshot
from realtime.topics import Subscriptions

PROTOCOL = "1.0"


@dataclass
class Figures:
    """What a connection knows of itself; round trips in milliseconds."""

    connection_id: str
    since: str
    sent: int = 0
    rtt_last: float | None = None
    rtt_mean: float | None = None
    rtt_count: int = 0

    def measured(self, rtt: float) -> None:
        """Take one round-trip time."""
        self.rtt_count += 1
        self.rtt_last = round(rtt, 3)
        mean = self.rtt_mean or 0.0
        self.rtt_mean = round(mean + (rtt - mean) / self.rtt_count, 3)


def unix(moment: float | None) -> str | None:
    """Write a Unix time as RFC 3339; None stays None."""
    return None if moment is None else rfc3339(datetime.fromtimestamp(moment, UTC))


def connected(
    connection_id: str, user_id: str, position: int, heartbeat_interval: float, expires_at: float | None
) -> server.Connected:
    """Return the first frame of a connection."""
    return server.Connected(
        timestamp=now(),
        connection_id=connection_id,
        user_id=user_id,
        message="Connected. Subscribe to tasks or topics.",
        protocol=PROTOCOL,
        position=position,
        heartbeat_interval=heartbeat_interval,
        actions=sorted(client.MESSAGES),
        expires_at=unix(expires_at),
    )


def status(
    figures: Figures,
    subscriptions: Subscriptions,
    cursor: int,
    id: int | UnsetType,
    behind: bool,
    request_id: client.RequestId,
) -> server.Status:
    """Return the frame with a connection's own figures."""
    return server.Status(
        timestamp=now(),
        id=id,
        connection_id=figures.connection_id,
        since=figures.since,
        rtt_last=figures.rtt_last,
        rtt_mean=figures.rtt_mean,
        task_ids=list(subscriptions.task_ids),
        topics=list(subscriptions.topics),
        position=cursor,
        sent=figures.sent,
        behind=behind,
        request_id=request_id,
    )


def states(snapshot: Snapshot) -> Iterator[server.Frame]:
    """Yield how things are in the project's topics, and what has happened since that may not be in it."""
    for topic, state in snapshot.own.states.items():
        yield server.TopicEvent(timestamp=now(), topic=topic, event=SNAPSHOT, data=state, snapshot=True)
    for event in snapshot.since:
        yield frame_of(event, snapshot=True)


def subscribed(
    cursor: int, wanted: Subscriptions, message: client.Subscribe | None, **outcome: Any
) -> server.Subscribed:
    """Return the frame that acknowledges subscriptions at ``cursor``."""
    if message is not None and message.after is not None:
        outcome.setdefault("recovered", False)
    return server.Subscribed(
        timestamp=now(),
        id=cursor,
        position=cursor,
        task_ids=list(wanted.task_ids),
        topics=list(wanted.topics),
        request_id=message.request_id if message else None,
        **_one_of(message),
        **outcome,
    )


def unsubscribed(
    cursor: int,
    id: int | UnsetType,
    gone: Subscriptions,
    message: client.Unsubscribe | None,
    reason: str | None,
) -> server.Unsubscribed:
    """Return the frame that says what is served no longer; ``reason`` when nobody asked for it."""
    return server.Unsubscribed(
        timestamp=now(),
        id=id,
        position=cursor,
        task_ids=list(gone.task_ids),
        topics=list(gone.topics),
        reason=reason or UNSET,
        request_id=message.request_id if message else None,
        **_one_of(message),
    )


def _one_of(message: client.Subscribe | client.Unsubscribe | None) -> dict[str, Any]:
    """Return ``task_id`` or ``topic`` when a message asked for just one thing."""
    wanted = message.subscriptions() if message is not None else ()
    if not isinstance(wanted, Subscriptions) or len(wanted) != 1:
        return {}
    if wanted.task_ids:
        return {"task_id": next(iter(wanted.task_ids))}
    return {"topic": next(iter(wanted.topics))}


def error(
    problem: Problem,
    message: str | None = None,
    request_id: client.RequestId = None,
    *,
    task_id: str | UnsetType = UNSET,
    topic: str | UnsetType = UNSET,
) -> server.Error:
    """Return the ``error`` frame for a problem, about a task or a topic if it is about one."""
    return server.Error(
        timestamp=now(),
        code=problem.code,
        message=message or problem.message,
        request_id=request_id,
        task_id=task_id,
        topic=topic,
    )


def farewell(refused: Refused) -> server.Error | server.Reconnect:
    """Return a connection's last frame: why it ends or, when the process ends, when to come back.

    Everybody hears another pause, from a fifth of ``SSE_RETRY_MS`` up to it: who was sent away together
    must not come back together.
    """
    problem = refused.problem
    if problem is not RESTARTING:
        return error(problem, refused.message)
    pause = round(conf.SSE_RETRY_MS * random.uniform(0.2, 1))
    return server.Reconnect(timestamp=now(), after_ms=pause, reason=problem.code)
