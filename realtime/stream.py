"""The delivery loop: attach, replay from the cursor, then live; for both transports, and the only one.

First connect, reconnect, overflow and gap are one case: whoever is behind goes back to the ring, or to
the log if that is older, and follows the hub again from there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET

from realtime.commands import Commands, one_of, problem_frame
from realtime.conf import conf
from realtime.events import TASK_KINDS, Viewer, now, rfc3339
from realtime.exceptions import TOKEN_EXPIRED, Problem, Refused
from realtime.hub import Hub
from realtime.protocol import client, server
from realtime.protocol.delivery import Delivery, Payload, frame_of
from realtime.replay import PAGE
from realtime.subscriber import Subscriber
from realtime.timers import Timers
from realtime.topics import BROADCASTS, Subscriptions

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


class Stream:
    """One connection: a cursor, a set of subscriptions, and the frames they make.

    A door calls :meth:`next` for the next frames, sends them, and calls it again; :meth:`close` in the
    end. ``encode`` makes a frame into what the door sends.
    """

    def __init__(
        self,
        hub: Hub,
        viewer: Viewer,
        encode: Callable[[server.Frame], Payload],
        timers: Timers,
        *,
        ends_with_tasks: bool = False,
    ) -> None:
        self.hub = hub
        self.viewer = viewer
        self.subscriptions = Subscriptions()
        self.subscriber = Subscriber(viewer, conf.BUFFER_EVENTS, conf.BUFFER_BYTES)
        self.commands = Commands(self)
        self.figures = Figures(uuid.uuid4().hex, now())
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
        self._timers = timers
        self._ends_with_tasks = ends_with_tasks
        self._out: list[Payload] = []
        self._refusal: Refused | None = None
        self._replaying = False
        self._counted = False
        self._from_elsewhere = False
        #: Versions that snapshots contained: no event up to them is sent.
        self._held: dict[str, int] = {}
        #: Broadcasts sent without an id, before the first ``subscribed``.
        self._unnumbered: set[int] = set()
        hub.attach(self.subscriber)
        hub.subscribe(self.subscriber, [BROADCASTS])
        timers.start(self.subscriber.wake, viewer.expires_at)
        self._connected()

    def close(self) -> None:
        """Detach from the hub and end what is under way; safe to call twice."""
        self.ended = True
        self.hub.detach(self.subscriber)
        self.commands.close()
        self._timers.stop()

    # -- the loop -----------------------------------------------------------------------------

    async def next(self) -> list[Payload]:
        """Return the next frames to send, at least one; an empty list when the stream has ended.

        Raises ``Refused`` when the client may not stay.
        """
        while not self.ended:
            if not self.caught_up:
                await self._replay()
            else:
                self._live()
            await self.commands.serve()
            self._tick()
            if self._out:
                break
            if self._refusal is not None:
                raise self._refusal
            await self.subscriber.wait()
        out, self._out = self._out, []
        self.figures.sent += len(out)
        return out

    @property
    def caught_up(self) -> bool:
        """Whether the client has been sent all that came before its buffer."""
        return not (self.subscriber.behind or self._replaying)

    def _live(self) -> None:
        for delivery in self.subscriber.take():
            self._deliver(delivery)
            if self.subscriber.behind:
                # A subscription ended, or the buffer ran over: the rest is read again.
                return

    async def _replay(self) -> None:
        """Send a page of what comes after the cursor, from the ring or the log."""
        hub, subscriber = self.hub, self.subscriber
        if subscriber.behind:
            # From here on live events are buffered; what came before is read below.
            subscriber.catch_up()
            self._replaying = True
        if self._from_elsewhere and self.cursor > hub.position:
            # The client was served by a faster process: this one catches up first.
            await hub.check()
            if self.cursor > hub.position:
                self.reset("unknown_position")
                return
        self._from_elsewhere = False
        keys, upto = tuple(subscriber.keys), hub.position
        found = hub.ring.after(self.cursor, keys)
        complete = found is not None and len(found) <= PAGE
        if found is not None:
            found = [d for d in found if self.viewer.sees(d.event)]
            missed = len(found)
        else:
            count = 0 if self._counted else conf.REPLAY_LIMIT
            page = await hub.reader.page(self.cursor, keys, self.viewer, count)
            if page.floor > self.cursor:
                self.reset("expired")
                return
            # The log may be ahead of this hub; what lies beyond it comes through the buffer.
            upto, missed = min(page.upto, hub.position), page.missed
            found = [Delivery(e) for e in page.events if e.position <= upto]
        if not self._counted and missed > conf.REPLAY_LIMIT:
            self.reset("too_far_behind")
            return
        self._counted = True
        for delivery in found[:PAGE]:
            self._deliver(delivery)
            if subscriber.behind:
                return
        if complete or len(found) <= PAGE:
            self.cursor = max(self.cursor, upto)
        if complete or self.cursor >= hub.position:
            self._replaying = self._counted = False

    def _deliver(self, delivery: Delivery) -> None:
        """Send one event, unless the client has it already."""
        event = delivery.event
        if event.position <= self.cursor:
            return
        self.cursor = event.position
        if event.kind not in TASK_KINDS:
            self._notice(delivery)
            return
        if event.version <= self._held.get(event.task_id, 0):
            return
        self._held.pop(event.task_id, None)
        removed = self.viewer.loses(event)
        self._out.append(delivery.encoded(self._encode, removed))
        self._timers.sent_event()
        if (removed or event.final) and event.task_id in self.subscriptions.task_ids:
            self.done(event.task_id)
            self.end_if_done()

    def _notice(self, delivery: Delivery) -> None:
        if delivery.position in self._unnumbered:
            return
        if self.acknowledged or self.resuming:
            self._out.append(delivery.encoded(self._encode))
        else:
            self._unnumbered.add(delivery.position)
            self.write(frame_of(delivery.event, with_id=False))
        self._timers.sent_event()

    def _tick(self) -> None:
        for frame in self._timers.due(self):
            self._out.append(frame if isinstance(frame, bytes) else self._encode(frame))
        if self.viewer.expires_at is not None and self.viewer.expires_at <= self._timers.wall():
            self.refuse(Refused(TOKEN_EXPIRED))
        if self._timers.too_old():
            self.ended = True

    # -- what the commands use ----------------------------------------------------------------

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
        self._out.append(self._encode(frame))

    def write_row(self, data: dict[str, Any]) -> None:
        """Send a row of a snapshot; events that it contains already will not be sent."""
        self._held[data["task_id"]] = data["version"]
        self.write(server.TaskUpdate(timestamp=now(), task_id=data["task_id"], data=data, snapshot=True))
        self._timers.sent_event()

    def error(
        self,
        problem: Problem,
        message: str | None = None,
        request_id: client.RequestId = None,
        **about: str,
    ) -> None:
        """Tell the client what could not be served."""
        self.write(problem_frame(problem, message, request_id, **about))

    def add(self, wanted: Subscriptions) -> None:
        """Add subscriptions at the cursor; what the hub has dispatched beyond it is read again."""
        self.subscriptions.add(wanted)
        self.hub.subscribe(self.subscriber, wanted.keys(self.viewer))
        if self.cursor < self.hub.position:
            self.subscriber.fall_behind()

    def forget(self, gone: Subscriptions) -> None:
        """Remove subscriptions; what is buffered for them alone is read past."""
        self.subscriptions.remove(gone)
        keys = [k for k in gone.keys(self.viewer) if k != BROADCASTS]
        self.hub.unsubscribe(self.subscriber, keys)
        self.subscriber.fall_behind()

    def drop(
        self,
        gone: Subscriptions,
        message: client.Unsubscribe | None = None,
        reason: str | None = None,
    ) -> None:
        """Remove subscriptions and say so."""
        self.forget(gone)
        self.write(
            server.Unsubscribed(
                timestamp=now(),
                id=self.id,
                position=self.cursor,
                task_ids=list(gone.task_ids),
                topics=list(gone.topics),
                reason=reason or UNSET,
                request_id=message.request_id if message else None,
                **one_of(message),
            )
        )

    def acknowledge(self, wanted: Subscriptions, message: client.Subscribe | None, **outcome: Any) -> None:
        """Send ``subscribed``: from here on frames carry the cursor."""
        self.acknowledged, self.resuming, self.was_reset = True, False, False
        self._unnumbered.clear()
        if message is not None and message.after is not None:
            outcome.setdefault("recovered", False)
        self.write(
            server.Subscribed(
                timestamp=now(),
                id=self.cursor,
                position=self.cursor,
                task_ids=list(wanted.task_ids),
                topics=list(wanted.topics),
                request_id=message.request_id if message else None,
                **one_of(message),
                **outcome,
            )
        )

    def done(self, task_id: str) -> None:
        """Say that the task's final state has been sent, and end its subscription."""
        self.forget(Subscriptions([task_id]))
        self.write(
            server.Done(
                timestamp=now(),
                id=self.id,
                task_id=task_id,
            )
        )

    def end_if_done(self) -> None:
        """End a stream that was opened for tasks only, when none is left to watch."""
        if self._ends_with_tasks and not self.subscriptions.task_ids:
            self.ended = True

    def resume(self, after: int | None, wanted: Subscriptions) -> None:
        """Set the cursor to ``after`` and replay; None is a cursor of no log."""
        self.subscriptions.add(wanted)
        self.hub.subscribe(self.subscriber, wanted.keys(self.viewer))
        self.resuming = True
        if after is None:
            self.reset("unknown_position")
            return
        self.cursor = after
        self._from_elsewhere, self._counted = True, False
        self.subscriber.fall_behind()

    def reset(self, reason: Any) -> None:
        """Give the cursor up: the client forgets all, and everything is subscribed afresh."""
        answered, began = self.acknowledged, self.acknowledged or bool(self.subscriptions)
        self.acknowledged = self.resuming = self._from_elsewhere = False
        self._replaying = self._counted = False
        self._held.clear()
        self.subscriber.catch_up()
        self.cursor = self.hub.position
        if began:
            self.was_reset = True
            self.write(server.Reset(timestamp=now(), reason=reason))
            self.commands.reset(answered)

    def refuse(self, error: Refused) -> None:
        """End the stream with ``error``, raised by :meth:`next` after what is still to be said."""
        self._refusal = self._refusal or error
        self.subscriber.wake()

    def answered(self, pong: client.Pong) -> None:
        """Take the client's answer to a ping: a round-trip time."""
        if (rtt := self._timers.round_trip(pong.t)) is not None:
            self.figures.measured(rtt)

    def renew(self, viewer: Viewer, request_id: client.RequestId) -> None:
        """Go on with a newer credential of the same user."""
        self.viewer = self.subscriber.viewer = viewer
        self._timers.expire_at(viewer.expires_at)
        self.write(
            server.Authenticated(timestamp=now(), expires_at=unix(viewer.expires_at), request_id=request_id)
        )

    # -- frames -------------------------------------------------------------------------------

    def _connected(self) -> None:
        self.write(
            server.Connected(
                timestamp=now(),
                connection_id=self.figures.connection_id,
                user_id=self.viewer.user_id,
                message="Connected. Subscribe to tasks or topics.",
                protocol=PROTOCOL,
                position=self.hub.position,
                heartbeat_interval=self._timers.heartbeat_interval,
                actions=sorted(client.MESSAGES),
                expires_at=unix(self.viewer.expires_at),
            )
        )

    def status(self, request_id: client.RequestId) -> server.Status:
        """Return the frame with the connection's own figures."""
        return server.Status(
            timestamp=now(),
            id=self.id,
            connection_id=self.figures.connection_id,
            since=self.figures.since,
            rtt_last=self.figures.rtt_last,
            rtt_mean=self.figures.rtt_mean,
            task_ids=list(self.subscriptions.task_ids),
            topics=list(self.subscriptions.topics),
            position=self.cursor,
            sent=self.figures.sent,
            behind=not self.caught_up,
            request_id=request_id,
        )
