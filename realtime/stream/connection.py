"""A connection's state: its cursor, its subscriptions, and the frames that wait to be sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from realtime import metrics
from realtime.conf import conf
from realtime.connections import UNKNOWN_CALLER, Caller
from realtime.events import LogEvent, Viewer, now
from realtime.exceptions import (
    RATE_LIMITED,
    RIGHTS_CHANGED,
    TOO_MANY_BAD_MESSAGES,
    TOO_MANY_MESSAGES,
    Problem,
    ProtocolError,
    Refused,
)
from realtime.hub import Hub
from realtime.protocol import client, server
from realtime.protocol.delivery import Payload, frame_of
from realtime.stream import frames
from realtime.stream.catchup import UNKNOWN_POSITION, CatchUp
from realtime.stream.commands import PENDING_LIMIT, Commands
from realtime.stream.held import Held
from realtime.stream.timers import Timers
from realtime.subscriber import Subscriber
from realtime.topics import BROADCASTS, Subscriptions


class Connection:
    """One client: a cursor and a set of subscriptions. ``encode`` makes a frame into what is sent."""

    def __init__(
        self,
        hub: Hub,
        viewer: Viewer,
        encode: Callable[[server.Frame], Payload],
        timers: Timers,
        *,
        ends_with_tasks: bool = False,
        caller: Caller = UNKNOWN_CALLER,
        replay_limit: int | None = None,
    ) -> None:
        self.hub = hub
        self.caller = caller
        self.viewer = viewer
        self.subscriptions = Subscriptions()
        self.subscriber = Subscriber(viewer, conf.BUFFER_EVENTS, conf.BUFFER_BYTES)
        self.commands = Commands(self)
        self.figures = frames.Figures(uuid.uuid4().hex, now())
        #: Everything up to here has been served: what a client resumes after.
        self.cursor = hub.position
        #: A ``subscribed`` has been sent since ``connected`` or ``reset``: frames carry the cursor.
        self.acknowledged = False
        #: The first subscribe is a resume and its missed events are being sent.
        self.resuming = False
        #: A ``reset`` was sent and its ``subscribed`` not yet.
        self.was_reset = False
        self.ended = False
        self._encode = encode
        self._timers, self._window = timers, timers.window
        self._ends_with_tasks = ends_with_tasks
        self._out: list[Payload] = []
        self._refusal: Refused | None = None
        self._missed = CatchUp(hub, self.subscriber.wake, replay_limit)
        #: Complaints about messages that have not been sent yet.
        self._complaints = 0
        self.held = Held(self.cursor)
        hub.directory.attach(self.subscriber)
        hub.directory.subscribe(self.subscriber, [BROADCASTS])
        hub.rights.add(self)
        hub.connections.add(self)
        timers.start(self.subscriber.wake, viewer.expires_at)
        self.write(
            frames.connected(
                self.figures.connection_id,
                viewer.user_id,
                hub.position,
                timers.heartbeat_interval,
                viewer.expires_at,
            )
        )

    @property
    def caught_up(self) -> bool:
        """Whether the client has been sent all that came before its buffer."""
        return not (self.subscriber.behind or self._missed.active)

    def close(self) -> None:
        """Detach from the hub and end what is under way; safe to call twice."""
        self.ended = True
        self.hub.directory.detach(self.subscriber)
        self.hub.rights.remove(self)
        self.hub.connections.remove(self)
        self.commands.close()
        self._missed.end()
        self._timers.stop()

    @property
    def id(self) -> Any:
        """The position served so far as a frame's ``id``; none before ``subscribed``."""
        return self.cursor if self.acknowledged else UNSET

    def advance(self) -> None:
        """Move the cursor to the hub's position when nothing that lies between is for this client."""
        if self.caught_up and self.subscriber.empty:
            self.cursor = max(self.cursor, self.hub.position)

    def write(self, frame: server.Frame) -> None:
        """Send a frame of this connection's own."""
        payload = self._encode(frame)
        self._put(payload, len(payload))

    def _put(self, payload: Payload, size: int) -> None:
        """Send, and mind the client's window: pings in time, and an end of writing when it is full."""
        self._out.append(payload)
        window = self._window
        window.written += size
        if window.written >= window.mark:
            if window.reached():
                metrics.STALLS.inc()
                self.subscriber.fall_behind()
                self._timers.look_again()
            else:
                self._out.append(self._encode(self.ping()))

    def ping(self) -> server.Ping:
        """Return a ping whose pong says that all before it has been read."""
        return server.Ping(timestamp=now(), id=self.id, t=self._window.ping())

    def awaits(self, pong: client.Pong) -> bool:
        """Whether the client was asked for this answer: none that it is to be blamed for."""
        return self._window.in_flight(pong.t)

    def write_row(self, data: dict[str, Any]) -> None:
        """Send a row of a snapshot; events that it contains already will not be sent."""
        self.held.hold(data["task_id"], data["version"])
        self.write(server.TaskUpdate(timestamp=now(), task_id=data["task_id"], data=data, snapshot=True))
        self._timers.sent_event()

    def write_notice(self, event: LogEvent) -> None:
        """Send a notice that is still in its window, unless it was sent when it was new."""
        if self.held.note(event):
            self.write(frame_of(event, snapshot=True))
            self._timers.sent_event()

    def error(
        self,
        problem: Problem,
        message: str | None = None,
        request_id: client.RequestId = None,
        **about: str,
    ) -> None:
        """Tell the client what could not be served; ``task_id`` or ``topic`` says of what."""
        metrics.ERRORS.labels(problem.code, self.caller.transport).inc()
        self.write(frames.error(problem, message, request_id, **about))

    def complain(self, error: ProtocolError) -> None:
        """Answer a message that cannot be served; refuse a client that sends them faster than it reads."""
        self._complaints += 1
        if self._complaints > PENDING_LIMIT:
            too_fast = error.problem is RATE_LIMITED
            self.refuse(Refused(TOO_MANY_MESSAGES if too_fast else TOO_MANY_BAD_MESSAGES))
            return
        self.error(error.problem, error.message, error.request_id)
        self.subscriber.wake()

    def add(self, wanted: Subscriptions) -> None:
        """Add subscriptions at the cursor; what the hub has dispatched beyond it is read again."""
        self.subscriptions.add(wanted)
        self.hub.directory.subscribe(self.subscriber, wanted.keys(self.viewer))
        if self.cursor < self.hub.position:
            self.subscriber.fall_behind()

    def forget(self, gone: Subscriptions) -> None:
        """Remove subscriptions; what is buffered for them alone is read past."""
        self.subscriptions.remove(gone)
        self.held.forget(gone, self.subscriptions)
        keys = [k for k in gone.keys(self.viewer) if k != BROADCASTS]
        self.hub.directory.unsubscribe(self.subscriber, keys)
        self.subscriber.fall_behind()

    def drop(
        self, gone: Subscriptions, message: client.Unsubscribe | None = None, reason: str | None = None
    ) -> None:
        """Remove subscriptions and say so."""
        self.forget(gone)
        self.write(frames.unsubscribed(self.cursor, self.id, gone, message, reason))

    def acknowledge(self, wanted: Subscriptions, message: client.Subscribe | None, **outcome: Any) -> None:
        """Send ``subscribed``: from here on frames carry the cursor."""
        self.acknowledged, self.resuming, self.was_reset = True, False, False
        self.write(frames.subscribed(self.cursor, wanted, message, **outcome))

    def done(self, task_id: str) -> None:
        """Say that the task's final state has been sent, and end its subscription."""
        self.forget(Subscriptions([task_id]))
        self.write(server.Done(timestamp=now(), id=self.id, task_id=task_id))

    def end_if_done(self) -> None:
        """End a stream that was opened for tasks only, when none is left to watch."""
        if self._ends_with_tasks and not self.subscriptions.task_ids:
            self.ended = True

    def resume(self, after: int | None, wanted: Subscriptions) -> None:
        """Set the cursor to ``after`` and replay; None is a cursor of no log."""
        self.subscriptions.add(wanted)
        self.hub.directory.subscribe(self.subscriber, wanted.keys(self.viewer))
        self.resuming = True
        self.held.resume(self.cursor)
        if after is None:
            self.reset(UNKNOWN_POSITION)
            return
        self.cursor = after
        self._missed.resume()
        self.subscriber.fall_behind()

    def reset(self, reason: Any) -> None:
        """Give the cursor up: the client forgets all, and everything is subscribed afresh."""
        answered, began = self.acknowledged, self.acknowledged or self.resuming or bool(self.subscriptions)
        self.acknowledged = self.resuming = False
        self._missed.end()
        self.subscriber.catch_up()
        self.cursor = self.hub.position
        self.held.restart(self.cursor)
        if began:
            self.was_reset = True
            metrics.RESETS.labels(reason).inc()
            self.write(server.Reset(timestamp=now(), reason=reason))
            self.commands.reset(answered)

    def refuse(self, error: Refused) -> None:
        """End the stream with ``error``, raised by :meth:`Stream.next` after what is still to be said."""
        self._refusal = self._refusal or error
        self.subscriber.wake()

    def answered(self, pong: client.Pong) -> None:
        """Take the client's answer to a ping: a round-trip time."""
        if (rtt := self._timers.answered(pong.t)) is not None:
            self.figures.measured(rtt)

    def see_as(self, viewer: Viewer) -> None:
        """Go on with other rights of the same user; who may see less now must come back.

        It comes back with its cursor, and the resume takes away what it may not see any more.
        """
        if self.viewer.view_all and not viewer.view_all:
            self.refuse(Refused(RIGHTS_CHANGED))
        self.viewer = self.subscriber.viewer = viewer

    def renew(self, viewer: Viewer, request_id: client.RequestId) -> None:
        """Go on with a newer credential of the same user."""
        self.see_as(viewer)
        self._timers.expire_at(viewer.expires_at)
        self.write(
            server.Authenticated(
                timestamp=now(), expires_at=frames.unix(viewer.expires_at), request_id=request_id
            )
        )
