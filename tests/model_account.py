"""The account of one client: what it was sent, and what it should have been sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from realtime.conf import conf
from realtime.events import BROADCAST_KINDS, TASK_KINDS, LogEvent, Viewer
from realtime.testing.view import EVENTS, View

Frame = dict[str, Any]
FOR_EVER = 2**63


class Span(NamedTuple):
    """A subscription that was served: every event after ``after``, up to ``upto``."""

    subscription: str
    after: int
    upto: int


class Shown(NamedTuple):
    """A row of a snapshot: the events it contained need not follow on this connection."""

    connection: int
    task_id: str
    version: int
    cursor: int


class Received(NamedTuple):
    """An event as it came, and what was subscribed at that moment."""

    frame: Frame
    subscriptions: frozenset[str]


def matches(subscription: str, event: LogEvent, user_id: str) -> bool:
    """Tell whether an event belongs to a subscription, in the words of the design."""
    if event.kind in BROADCAST_KINDS:
        return subscription == "broadcasts"
    if event.kind == "task_log":
        return subscription == event.task_id
    if event.kind not in TASK_KINDS:
        return False
    if subscription == "mine":
        return user_id in (event.owner, event.previous_owner)
    return subscription in ("tasks", event.task_id)


class Account:
    """Every promise to one client, noted frame by frame; :meth:`verify` holds them against the log."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.view = View()
        self.acknowledged = False
        self.received: list[Received] = []
        self.spans: list[Span] = []
        self.shown: list[Shown] = []
        self.notices: list[Span] = []
        #: The rows of each snapshot with the position it was current at.
        self.snapshots: list[tuple[int, dict[str, int]]] = []
        self.errors: set[str] = set()
        self.resets: list[tuple[str, int | None]] = []
        self._open: dict[str, int] = {}
        self._ends: list[int] = []
        self._connected_at: int | None = None
        self._seen_notices: list[set[str]] = []
        self._rows: dict[str, int] = {}

    def take(self, frame: Frame) -> None:
        """Note the next frame, then let the view have it."""
        kind, view = frame["type"], self.view
        if kind in EVENTS and not frame.get("snapshot"):
            held = frozenset(view.task_ids | view.topics | {"broadcasts"})
            self.received.append(Received(frame, held))
        note = getattr(self, f"_note_{kind}", None)
        if note is not None:
            note(frame)
        view.feed(frame)

    def end_connection(self) -> None:
        """Note that the connection was cut here."""
        self._ends.append(self.view.cursor or 0)

    def _note_connected(self, frame: Frame) -> None:
        self._seen_notices.append(set())
        self._rows = {}
        self._connected_at = frame["position"] if self.view.cursor is None else None

    def _note_task_update(self, frame: Frame) -> None:
        if frame.get("snapshot"):
            version, cursor = frame["data"]["version"], self.view.cursor or 0
            self.shown.append(Shown(len(self._ends), frame["task_id"], version, cursor))
            self._rows[frame["task_id"]] = version

    def _note_broadcast(self, frame: Frame) -> None:
        self._seen_notices[-1].add(frame["broadcast_id"])

    def _note_subscribed(self, frame: Frame) -> None:
        if self._connected_at is not None:
            # Between `connected` and the first `subscribed` a socket hears live broadcasts too.
            self.notices.append(Span("broadcasts", self._connected_at, frame["id"]))
            self._connected_at = None
        self.acknowledged = True
        self.snapshots.append((frame["id"], self._rows))
        self._rows = {}
        for name in [*frame["task_ids"], *frame["topics"], "broadcasts"]:
            self._open.setdefault(name, frame["id"])

    def _note_unsubscribed(self, frame: Frame) -> None:
        for name in [*frame["task_ids"], *frame["topics"]]:
            self._end(name, frame["position"])

    def _note_done(self, frame: Frame) -> None:
        self._end(frame["task_id"], frame.get("id", self.view.cursor or 0))

    def _note_error(self, frame: Frame) -> None:
        self.errors.add(frame["code"])

    def _note_reset(self, frame: Frame) -> None:
        self.resets.append((frame["reason"], self.view.cursor))
        self._connected_at = None
        for name in list(self._open):
            self._end(name, self.view.cursor or 0)

    def _end(self, name: str, position: int) -> None:
        if name in self._open:
            self.spans.append(Span(name, self._open.pop(name), position))

    def verify(self, events: Mapping[int, LogEvent], floor: int) -> None:
        """Raise AssertionError unless it received exactly what was its due of this log's events."""
        assert self.view.violations == []
        assert self.errors <= {"not_found", "forbidden", "unavailable"}
        for frame, subscriptions in self.received:
            self._verify_received(frame, subscriptions, events)
        for reason, cursor in self.resets:
            missed = [e for p, e in events.items() if p > (cursor or 0) and self.viewer.sees(e)]
            is_true = {"expired": (cursor or 0) < floor, "too_far_behind": len(missed) > conf.REPLAY_LIMIT}
            assert is_true.get(reason), f"a reset for no reason: {reason}"
        positions = self.view.positions
        assert len(set(positions)) == len(positions), "an event came twice"
        heard = set().union(*self._seen_notices)
        missing = [events[p] for p in sorted(self._due(events) - set(positions))]
        lost = [e for e in missing if not self._was_shown(e) and e.data.get("broadcast_id") not in heard]
        assert lost == [], "events were lost"
        for position, rows in self.snapshots:
            older = [
                e for p, e in events.items() if p <= position and e.version > rows.get(e.task_id, e.version)
            ]
            assert older == [], "a snapshot is older than its position"
        for span in self.notices:
            between = [e for p, e in events.items() if span.after < p <= span.upto and e.kind == "broadcast"]
            # A socket that was overtaken before its first `subscribed` has nothing to be told of.
            if floor <= span.after and len(between) <= conf.REPLAY_LIMIT:
                assert {e.data["broadcast_id"] for e in between} <= heard, "a notice was lost"

    def _due(self, events: Mapping[int, LogEvent]) -> set[int]:
        """Return the positions of all events while their subscription was served."""
        spans = [*self.spans, *(Span(name, after, FOR_EVER) for name, after in self._open.items())]
        return {
            position
            for position, event in events.items()
            for span in spans
            if span.after < position <= span.upto
            and matches(span.subscription, event, self.viewer.user_id)
            and self.viewer.sees(event)
        }

    def _verify_received(
        self, frame: Frame, subscriptions: frozenset[str], events: Mapping[int, LogEvent]
    ) -> None:
        user_id = self.viewer.user_id
        if "id" not in frame:
            assert frame["type"] == "broadcast", "a task's event without an id"
            return
        event = events[frame["id"]]
        mine = user_id in (event.owner, event.previous_owner)
        assert mine or self.viewer.view_all or event.kind in BROADCAST_KINDS, "a leak"
        assert any(matches(s, event, user_id) for s in subscriptions), f"not subscribed: {frame}"
        lost = event.owner != user_id and not self.viewer.view_all and event.kind in TASK_KINDS
        assert frame["type"] == ("task_removed" if lost else event.kind)
        if frame["type"] in ("task_update", "task_log"):
            assert frame["data"] == event.data

    def _was_shown(self, event: LogEvent) -> bool:
        """Whether a snapshot contained the event before its turn came."""
        ends = [*self._ends, FOR_EVER]
        return event.kind in TASK_KINDS and any(
            row.task_id == event.task_id
            and row.version >= event.version
            and row.cursor < event.position <= ends[row.connection]
            for row in self.shown
        )
