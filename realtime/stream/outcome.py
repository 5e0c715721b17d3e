"""How a subscribe ends: what the client is told of what was found, and from when on it is told more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from realtime.events import FINAL
from realtime.exceptions import FORBIDDEN, NOT_FOUND
from realtime.protocol import client
from realtime.snapshots import Snapshot, States
from realtime.stream import frames
from realtime.topics import TASKS, Subscriptions

if TYPE_CHECKING:
    from realtime.stream.connection import Connection


def tell_snapshot(
    stream: Connection, snapshot: Snapshot, wanted: Subscriptions, message: client.Subscribe | None
) -> None:
    """Add the subscriptions at the cursor, then tell the snapshot, then ``subscribed``.

    What of ``wanted`` was not found is told, and taken out of it. At a reset there may be no ``message``.
    """
    request_id = message.request_id if message else None
    for topic, problem in snapshot.own.refused.items():
        del wanted.topics[topic]
        stream.error(problem, None, request_id, topic=topic)
    for task_id in [t for t in wanted.task_ids if t not in snapshot.rows]:
        del wanted.task_ids[task_id]
        stream.error(NOT_FOUND, None, request_id, task_id=task_id)
    # A reset ends with a ``subscribed``, be it of nothing: only then frames carry the cursor again.
    if not wanted and message is not None and not stream.was_reset:
        stream.end_if_done()
        return
    # What is watched already goes on: whoever holds its earlier events waits for the next ones too.
    fresh = [topic for topic in snapshot.own.states if topic not in stream.subscriptions.topics]
    stream.add(wanted)
    for data in snapshot.rows.values():
        stream.write_row(data)
    for topic in fresh:
        stream.held.hold(topic, snapshot.own.position)
    for frame in frames.states(snapshot):
        stream.write(frame)
    for notice in reversed((snapshot.notices or {}).values()):
        stream.write_notice(notice)
    stream.acknowledge(wanted, message, truncated=snapshot.truncated if wanted.topics else UNSET)
    for task_id, data in snapshot.rows.items():
        if data["status"] in FINAL and task_id in stream.subscriptions.task_ids:
            stream.done(task_id)
    stream.end_if_done()


def tell_resumed(stream: Connection, states: States, message: client.Subscribe | None) -> None:
    """The missed events have been sent: say what is watched no longer, then ``subscribed``."""
    gone = Subscriptions(
        t
        for t in stream.subscriptions.task_ids
        if (state := states.tasks.get(t)) is None
        or not (stream.viewer.view_all or state.owner == stream.viewer.user_id)
    )
    if gone:
        stream.drop(gone, reason=NOT_FOUND.code)
    if TASKS in stream.subscriptions.topics and not stream.viewer.view_all:
        stream.drop(Subscriptions((), [TASKS]), reason=FORBIDDEN.code)
    stream.acknowledge(stream.subscriptions, message, recovered=True)
    for task_id in list(stream.subscriptions.task_ids):
        state = states.tasks[task_id]
        if state.final and not state.pending and state.last <= stream.cursor:
            stream.done(task_id)
    stream.end_if_done()
