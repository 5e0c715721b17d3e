"""What one client was sent, in few bytes, and what it was promised: the client's half of the proof."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from realtime.testing.view import EVENTS, View

Frame = dict[str, Any]
FOR_EVER = 1 << 62

_encoder = msgspec.json.Encoder(order="sorted")


class Names:
    """Small numbers for task ids: a million deliveries must fit into memory."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def __getitem__(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))


#: The kinds of frames that stand for an event, by the number they are kept as.
KINDS = sorted(EVENTS)
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


def digest(data: Mapping[str, Any]) -> int:
    """Return a number that stands for the whole content."""
    return zlib.crc32(_encoder.encode(data))


class Entry(NamedTuple):
    """A delivery: an event as it came."""

    position: int
    task: int
    kind: int
    version: int
    digest: int


class Span(NamedTuple):
    """A subscription that was served: every event after ``after``, up to ``upto``."""

    name: str
    after: int
    upto: int


class Shown(NamedTuple):
    """A row of a snapshot: events that it contained need not follow on this connection."""

    connection: int
    task: int
    version: int
    cursor: int


class Life:
    """A client from its first connection on, without a cursor, to the end: over all its connections."""

    def __init__(self, user_id: str, view_all: bool, names: Names) -> None:
        self.user_id = user_id
        self.view_all = view_all
        self.view = View()
        self.spans: list[Span] = []
        self.shown: list[Shown] = []
        self.resets: list[str] = []
        #: Broadcasts told without a position: by a snapshot, or before the first ``subscribed``.
        self.heard: set[str] = set()
        self.truncated = False
        self._names = names
        self._received = array("q")
        self._open: dict[str, int] = {}
        self._ends: list[int] = []

    def take(self, frame: Frame) -> int:
        """Note the next frame; return its position when it is a delivery, else 0."""
        kind = frame["type"]
        if "data" in frame:
            data = frame["data"]
            # Kept in the rows: no more of it than what is compared in the end.
            kept = {name: data.get(name) for name in ("task_id", "version", "owner")}
            frame = {**frame, "data": kept | {"digest": digest(data)}}
        position = 0
        if kind in EVENTS:
            position = self._note_event(kind, frame)
        elif (note := getattr(self, f"_note_{kind}", None)) is not None:
            note(frame)
        self.view.feed(frame)
        return position

    def _note_event(self, kind: str, frame: Frame) -> int:
        data = frame.get("data", {})
        position = frame.get("id", 0)
        if frame.get("snapshot") and kind == "task_update":
            task, cursor = self._names[frame["task_id"]], self.view.cursor or 0
            self.shown.append(Shown(len(self._ends), task, data["version"], cursor))
        elif not position:
            self.heard.add(frame["broadcast_id"])
        else:
            task = self._names[frame.get("task_id") or frame.get("broadcast_id", "")]
            version = data.get("version", frame.get("version", 0))
            entry = Entry(position, task, NUMBERS[kind], version, data.get("digest", 0))
            self._received.extend(entry)
        return int(position)

    @property
    def entries(self) -> Iterator[Entry]:
        """Every delivery, in the order in which they came."""
        for start in range(0, len(self._received), 5):
            yield Entry(*self._received[start : start + 5])

    def add(self, entry: Entry) -> None:
        """Note a delivery without a frame."""
        self._received.extend(entry)

    def served(self) -> Iterator[Span]:
        """Yield every subscription as long as it was served."""
        yield from self.spans
        for name, after in self._open.items():
            yield Span(name, after, FOR_EVER)

    def end_of(self, connection: int) -> int:
        """The cursor with which that connection ended."""
        return self._ends[connection] if connection < len(self._ends) else FOR_EVER

    def end_connection(self) -> None:
        """Note that the connection was cut here."""
        self._ends.append(self.view.cursor or 0)

    def finish(self) -> None:
        """Note that this client never comes back: nothing after its cursor is owed."""
        for name in list(self._open):
            self._end(name, self.view.cursor or 0)

    def nothing_left(self) -> None:
        """The server says that all tasks are final and nothing is left to send."""
        for name in list(self.view.task_ids):
            self._end(name, self.view.cursor or 0)
        self.view.task_ids.clear()

    def _note_subscribed(self, frame: Frame) -> None:
        self.truncated |= frame.get("truncated", False)
        for name in [*frame["task_ids"], *frame["topics"], "broadcasts"]:
            self._open.setdefault(name, frame["id"])

    def _note_unsubscribed(self, frame: Frame) -> None:
        for name in [*frame["task_ids"], *frame["topics"]]:
            self._end(name, frame["position"])

    def _note_done(self, frame: Frame) -> None:
        self._end(frame["task_id"], frame.get("id", self.view.cursor or 0))

    def _note_reset(self, frame: Frame) -> None:
        self.resets.append(frame["reason"])
        for name in list(self._open):
            self._end(name, self.view.cursor or 0)

    def _end(self, name: str, position: int) -> None:
        if name in self._open:
            self.spans.append(Span(name, self._open.pop(name), position))
