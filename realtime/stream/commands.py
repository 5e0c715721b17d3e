"""What a stream does when its client asks: subscribe, resume, unsubscribe, ping, status."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from realtime import auth
from realtime.conf import conf
from realtime.events import Viewer, now
from realtime.exceptions import (
    FORBIDDEN,
    LATE_RESUME,
    TOO_MANY_PENDING,
    TOO_MANY_SUBSCRIPTIONS,
    UNAVAILABLE,
    UNKNOWN_TOPIC,
    WRONG_USER,
    ProtocolError,
    Refused,
)
from realtime.protocol import client, server
from realtime.snapshots import Snapshot, States
from realtime.stream import frames, outcome
from realtime.topics import BROADCASTS, TASKS, Subscriptions

if TYPE_CHECKING:
    from realtime.stream.connection import Connection

#: Messages of one client that may wait to be served.
PENDING_LIMIT = 64
#: How often a snapshot is read again that a very slow database made too old for the hub's ring.
SNAPSHOT_ATTEMPTS = 5


class Commands:
    """Serves one stream's client. One look-up is under way at a time; pings never wait for it."""

    def __init__(self, stream: Connection) -> None:
        self.stream = stream
        self._instant: deque[client.Ping | client.Status] = deque()
        self._ordered: deque[client.Subscribe | client.Unsubscribe | client.Authenticate] = deque()
        self._serving: client.Subscribe | client.Authenticate | None = None
        self._fresh_for: client.Subscribe | None = None
        self._resumed: client.Subscribe | None = None
        self._wanted = Subscriptions()
        self._lookup: asyncio.Task[Any] | None = None
        self._then: Callable[[Any], None] = lambda found: None
        self._attempts = 0

    def post(self, message: client.ClientMessage) -> None:
        """Take a message, to be served by the stream's own loop.

        Raises ``ProtocolError`` when too many wait already.
        """
        if isinstance(message, client.Pong):
            # At once, and however much waits: it may be what the rest is waiting for.
            self.stream.answered(message)
        elif len(self._instant) + len(self._ordered) >= PENDING_LIMIT:
            raise ProtocolError(TOO_MANY_PENDING, request_id=message.request_id)
        elif isinstance(message, client.Ping | client.Status):
            self._instant.append(message)
        else:
            self._ordered.append(message)
        self.stream.subscriber.wake()

    def close(self) -> None:
        """End the look-up under way."""
        if self._lookup is not None:
            self._lookup.cancel()

    def serve(self) -> None:
        """Answer what can be answered now."""
        while self._instant:
            self._answer(self._instant.popleft())
        if self._lookup is not None:
            if not self._lookup.done() or not self.stream.caught_up:
                return
            self._finish(self._lookup, self._then)
        while self._ordered and self._lookup is None and self.stream.caught_up:
            message = self._ordered.popleft()
            try:
                self._begin(message)
            except ProtocolError as error:
                self.stream.error(error.problem, error.message, message.request_id)

    def _answer(self, message: client.Ping | client.Status) -> None:
        stream = self.stream
        if isinstance(message, client.Ping):
            stream.advance()
            stream.write(
                server.Pong(timestamp=now(), id=stream.id, t=message.t, request_id=message.request_id)
            )
        else:
            stream.write(
                frames.status(
                    stream.figures,
                    stream.subscriptions,
                    stream.cursor,
                    stream.id,
                    not stream.caught_up,
                    message.request_id,
                )
            )

    def _begin(self, message: client.Subscribe | client.Unsubscribe | client.Authenticate) -> None:
        if isinstance(message, client.Authenticate):
            self._serving = message
            self._look(auth.verified(message.token), partial(self._renew, message))
            return
        wanted = message.subscriptions()
        if isinstance(message, client.Unsubscribe):
            self._unsubscribe(message, wanted)
            return
        both = self.stream.subscriptions.copy()
        both.add(wanted)
        if len(both) > conf.MAX_SUBSCRIPTIONS:
            raise ProtocolError(
                TOO_MANY_SUBSCRIPTIONS,
                f"At most {conf.MAX_SUBSCRIPTIONS} subscriptions per connection.",
            )
        if message.after is not None:
            self._resume(message, message.after, wanted)
            return
        self._fresh(message, wanted)

    # -- fresh --------------------------------------------------------------------------------

    def _fresh(self, message: client.Subscribe | None, wanted: Subscriptions) -> None:
        """Begin to read the snapshot; other subscriptions go on meanwhile."""
        if TASKS in wanted.topics and not self.stream.viewer.view_all:
            del wanted.topics[TASKS]
            request_id = message.request_id if message else None
            self.stream.error(FORBIDDEN, None, request_id, topic=TASKS)
            if not wanted and not self.stream.was_reset:
                return
        self._serving, self._fresh_for, self._wanted, self._attempts = message, message, wanted, 0
        if self.stream.acknowledged and BROADCASTS in wanted.topics:
            self.stream.held.forget_notices()
        self._read_snapshot()

    def _read_snapshot(self) -> None:
        """Read the rows of what is wanted; and the notices, at first and when they are asked for."""
        stream, wanted = self.stream, self._wanted
        notices = not stream.acknowledged or BROADCASTS in wanted.topics
        self._look(stream.hub.reader.snapshot(wanted, stream.viewer, notices), self._finish_fresh)

    def _look(self, reading: Coroutine[Any, Any, Any], then: Callable[[Any], None]) -> None:
        self._then = then
        self._lookup = asyncio.get_running_loop().create_task(reading)
        self._lookup.add_done_callback(lambda _: self.stream.subscriber.wake())

    def _finish(self, lookup: asyncio.Task[Any], then: Callable[[Any], None]) -> None:
        self._lookup, message = None, self._serving
        failure = lookup.exception()
        if failure is None:
            then(lookup.result())
        elif self.stream.resuming or self.stream.was_reset or message is self._resumed is not None:
            # There is no state to stay in: the client comes back with its cursor.
            raise Refused(UNAVAILABLE) from failure
        else:
            self.stream.error(UNAVAILABLE, None, message.request_id if message else None)

    def _renew(self, message: client.Authenticate, viewer: Viewer | Refused) -> None:
        if isinstance(viewer, Refused):
            self.stream.error(viewer.problem, viewer.message, message.request_id)
        elif viewer.user_id != self.stream.viewer.user_id:
            self.stream.error(WRONG_USER, None, message.request_id)
        else:
            self.stream.renew(viewer, message.request_id)

    def _finish_fresh(self, snapshot: Snapshot) -> None:
        """Bring the snapshot up to the cursor, and tell it; read it again when it is too old for that."""
        stream, wanted = self.stream, self._wanted
        stream.advance()
        keys = [*wanted.keys(stream.viewer), *([] if snapshot.notices is None else [BROADCASTS])]
        # While it was read the cursor went on; what it passed of these keys is not sent any more.
        passed = stream.hub.ring.after(snapshot.position, keys)
        if passed is None and snapshot.position < stream.cursor:
            self._attempts += 1
            if self._attempts > SNAPSHOT_ATTEMPTS:
                raise Refused(UNAVAILABLE)
            self._read_snapshot()
            return
        snapshot.apply(
            [d.event for d in passed or () if d.position <= stream.cursor and stream.viewer.sees(d.event)],
            stream.viewer,
        )
        outcome.tell_snapshot(stream, snapshot, wanted, self._fresh_for)

    # -- resume -------------------------------------------------------------------------------

    def _resume(self, message: client.Subscribe, after: int | str, wanted: Subscriptions) -> None:
        if self.stream.acknowledged or self.stream.subscriptions:
            raise ProtocolError(LATE_RESUME)
        self._serving = self._resumed = message
        if own := wanted.own:
            # Before anything of them is read: what a topic's events tell, they tell to whoever is subscribed.
            look = self.stream.hub.reader.granted(own, self.stream.viewer)
            self._look(look, partial(self._resume_granted, after, wanted))
        else:
            self._replay(after, wanted)

    def _resume_granted(self, after: int | str, wanted: Subscriptions, granted: set[str]) -> None:
        """Resume what may still be seen; say what is watched no longer."""
        stream, refused = self.stream, [topic for topic in wanted.own if topic not in granted]
        if refused:
            gone = Subscriptions((), refused)
            wanted.remove(gone)
            stream.write(frames.unsubscribed(stream.cursor, stream.id, gone, None, UNKNOWN_TOPIC.code))
        self._replay(after, wanted)

    def _replay(self, after: int | str, wanted: Subscriptions) -> None:
        self.stream.resume(client.parse_cursor(after), wanted)
        if self.stream.resuming:
            self._look(self.stream.hub.reader.states(wanted.task_ids), self._finish_resume)

    def _finish_resume(self, states: States) -> None:
        outcome.tell_resumed(self.stream, states, self._resumed)

    def reset(self, answered: bool) -> None:
        """Subscribe everything afresh; a subscribe that was under way comes after it.

        ``answered`` says that the connection's resume, if there was one, has had its ``subscribed``.
        """
        serving, waits = self._serving, False
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
            if serving is not None and serving is not self._resumed:
                self._ordered.appendleft(serving)
                waits = isinstance(serving, client.Subscribe)
        wanted = self.stream.subscriptions.copy()
        self.stream.forget(wanted)
        if wanted or not waits:
            self._fresh(None if answered else self._resumed, wanted)

    # -- unsubscribe --------------------------------------------------------------------------

    def _unsubscribe(self, message: client.Unsubscribe, wanted: Subscriptions) -> None:
        if BROADCASTS in wanted.topics:
            raise ProtocolError(message="Every connection receives broadcasts.")
        self.stream.drop(wanted, message=message)
