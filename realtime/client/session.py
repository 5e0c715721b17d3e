"""What one watch holds, and how each frame changes that: the rules of docs/protocol.md, Cursors. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from realtime.client.errors import Denied, NotFound, Unreachable
from realtime.client.events import Broadcast, Event, TaskRemoved, TaskUpdate, event_of
from realtime.exceptions import (
    NOT_FOUND,
    RATE_LIMITED,
    TOO_MANY_PENDING,
    UNAVAILABLE,
    WRONG_USER,
)
from realtime.topics import BROADCASTS

Frame = dict[str, Any]

#: Errors that a later subscribe need not meet.
PASSING = frozenset({UNAVAILABLE.code, RATE_LIMITED.code, TOO_MANY_PENDING.code})
#: Frames that stand for an entry of the log, each served once; others only say how far it is.
LOGGED = frozenset(
    {
        *("task_update", "task_deleted", "task_removed", "task_log"),
        *("broadcast", "broadcast_retracted", "topic_event"),
    }
)
#: Broadcasts that are remembered, so that none is told twice.
TOLD = 1000


class Step(NamedTuple):
    """What follows from a frame: events for the caller, messages for the server."""

    events: list[Event]
    messages: list[Frame]


class Session:
    """A cursor and subscriptions, which outlive connections.

    Rows of a snapshot are kept back until it is complete: a cut within it leaves nothing half told.
    """

    def __init__(self, task_ids: Iterable[str], topics: Iterable[str]) -> None:
        self.task_ids, self.topics = dict.fromkeys(task_ids), dict.fromkeys(topics)
        #: The highest id seen; None: nothing to resume from.
        self.cursor: int | None = None
        #: Whether everything wanted is being served on this connection.
        self.current = False
        #: What the last error said: its code and its message.
        self.error: tuple[str, str] | None = None
        self._acknowledged: tuple[dict[str, None], dict[str, None]] = ({}, {})
        self._served_once = False
        self._user_id: str | None = None
        self._request: str | None = None
        self._requests = 0
        self._rows: list[Event] = []
        self._held: dict[str, int] = {}
        self._told: dict[str, None] = {}
        self._events: list[Event] = []
        self._messages: list[Frame] = []
        self._handlers: dict[str, Callable[[Frame], None]] = {
            "connected": self._connected,
            "ping": self._ping,
            "task_update": self._change,
            "task_deleted": self._tell,
            "task_removed": self._change,
            "task_log": self._tell,
            "topic_event": self._topic_event,
            "broadcast": self._broadcast,
            "broadcast_retracted": self._retracted,
            "subscribed": self._subscribed,
            "unsubscribed": self._unsubscribed,
            "done": self._done,
            "reset": self._reset,
            "error": self._error,
        }

    @property
    def finished(self) -> bool:
        """Whether nothing is left to watch."""
        return not self.task_ids and not self.topics

    def cut(self) -> None:
        """The connection is gone; forget what was of it alone."""
        self.current = False
        self._request = None
        self._rows = []

    def receive(self, frame: Frame) -> Step:
        """Take a frame; one of an unknown type moves the cursor only.

        Raises ``Denied`` for what would be refused again, and ``Unreachable`` for what cannot be served
        on this connection now.
        """
        self._events, self._messages = [], []
        position, handler = frame.get("id"), self._handlers.get(frame["type"])
        repeated = False
        if position is not None:
            repeated = self.cursor is not None and position <= self.cursor and frame["type"] in LOGGED
            self.cursor = max(position, self.cursor or 0)
        if handler is not None and not repeated:
            handler(frame)
        return Step(self._events, self._messages)

    # -- asking -------------------------------------------------------------------------------

    def _connected(self, frame: Frame) -> None:
        """Resume what was acknowledged; or begin."""
        if self._user_id not in (None, frame["user_id"]):
            raise Denied(WRONG_USER.message, WRONG_USER.code)
        self._user_id = frame["user_id"]
        self.error = None
        if self.cursor is None:
            self._ask(self.task_ids, self.topics)
        else:
            task_ids, topics = self._acknowledged
            self._ask(task_ids, {**topics, BROADCASTS: None}, after=self.cursor)

    def _ask(self, task_ids: Iterable[str], topics: Iterable[str], **after: int) -> None:
        self._requests += 1
        self._request = f"subscribe-{self._requests}"
        self._messages.append(
            {
                "action": "subscribe",
                "request_id": self._request,
                "task_ids": [*task_ids],
                "topics": [*topics],
                **after,
            }
        )

    def _ping(self, frame: Frame) -> None:
        self._messages.append({"action": "pong", "t": frame["t"]})

    def _subscribed(self, frame: Frame) -> None:
        task_ids, topics = self._acknowledged
        task_ids.update(dict.fromkeys(t for t in frame["task_ids"] if t in self.task_ids))
        topics.update(dict.fromkeys(frame["topics"]))
        if not frame.get("recovered"):
            rows, self._rows = [row for row in self._rows if self._is_new(row)], []
            self._held.update((e.task_id, e.task.version) for e in rows if isinstance(e, TaskUpdate))
            self._events += [*rows, event_of(frame)]
        self._served_once = True
        if frame.get("request_id") == self._request:
            self._request = None
        if self._request is not None:
            return  # the end of a reset; the answer to what was asked is still to come
        # What was not acknowledged when the line was cut is subscribed afresh.
        missing = [t for t in self.task_ids if t not in task_ids], [t for t in self.topics if t not in topics]
        if any(missing):
            self._ask(*missing)
        else:
            self.current = True

    # -- what is served no longer -------------------------------------------------------------

    def _reset(self, frame: Frame) -> None:
        self.cursor, self.current = None, False
        self._acknowledged = {}, {}
        self._rows = []
        self._held.clear()
        self._told.clear()
        self._tell(frame)

    def _done(self, frame: Frame) -> None:
        self._forget(frame["task_id"])

    def _unsubscribed(self, frame: Frame) -> None:
        for task_id in frame["task_ids"]:
            self._forget(task_id)
        for topic in frame["topics"]:
            self._lose(topic)
        if frame["topics"] and self.finished:
            raise Denied(f"The topic {frame['topics'][0]} may not be watched any more.", frame.get("reason"))
        self._tell(frame)

    def _lose(self, topic: str) -> None:
        self.topics.pop(topic, None)
        self._acknowledged[1].pop(topic, None)

    def _forget(self, task_id: str) -> None:
        self.task_ids.pop(task_id, None)
        self._acknowledged[0].pop(task_id, None)

    def _error(self, frame: Frame) -> None:
        code, message = frame["code"], frame["message"]
        task_id, topic = frame.get("task_id"), frame.get("topic")
        self.error = code, message
        if code == NOT_FOUND.code and task_id in self.task_ids:
            if not self._served_once:
                raise NotFound(f"No such task: {task_id}")
            self._forget(task_id)
            self._gone(frame, task_ids=[task_id])
        elif topic in self.topics:
            if self._served_once:
                self._lose(topic)
            if self.finished or not self._served_once:
                raise Denied(message, code)
            self._gone(frame, topics=[topic])
        elif self._request is not None and frame.get("request_id") == self._request:
            raise Unreachable(message, code) if code in PASSING else Denied(message, code)

    def _gone(self, error: Frame, **what: list[str]) -> None:
        """Tell of what a reset could not bring back, in the words in which a resume would."""
        ended = {"type": "unsubscribed", "task_ids": [], "topics": [], "reason": error["code"]}
        self._tell(ended | {"timestamp": error["timestamp"]} | what)

    # -- telling ------------------------------------------------------------------------------

    def _tell(self, frame: Frame) -> None:
        self._events.append(event_of(frame))

    def _change(self, frame: Frame) -> None:
        """Tell a change of a task, unless a snapshot has told it already."""
        event = event_of(frame)
        assert isinstance(event, TaskUpdate | TaskRemoved)
        version = event.task.version if isinstance(event, TaskUpdate) else event.version
        if isinstance(event, TaskUpdate) and event.snapshot:
            self._rows.append(event)
        elif version > self._held.get(event.task_id, 0):
            # In order: from here on all are newer.
            self._held.pop(event.task_id, None)
            self._events.append(event)

    def _topic_event(self, frame: Frame) -> None:
        (self._rows if frame.get("snapshot") else self._events).append(event_of(frame))

    def _broadcast(self, frame: Frame) -> None:
        """Tell a notice once: it may come live, in a snapshot, and again after a cut."""
        if BROADCASTS not in self.topics:
            return
        event = event_of(frame)
        if isinstance(event, Broadcast) and event.snapshot:
            self._rows.append(event)
        elif self._is_new(event):
            self._events.append(event)

    def _is_new(self, event: Event) -> bool:
        """Tell whether this is not a broadcast that has been told; it is from now on."""
        if not isinstance(event, Broadcast):
            return True
        if event.broadcast_id in self._told:
            return False
        self._told[event.broadcast_id] = None
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]
        return True

    def _retracted(self, frame: Frame) -> None:
        if BROADCASTS in self.topics:
            self._tell(frame)
