"""The reference client: what a client knows after its frames, and the promises those frames broke.

It is pure and knows nothing of the transport: a test feeds it the frames of one connection after
the other, and compares `rows` with the database, `cursor` with the log, `violations` with nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Frame = Mapping[str, Any]
Row = dict[str, Any]

# The frames that stand for an entry of the log, each served once; others only tell how far it is.
EVENTS = {
    "task_update",
    "task_deleted",
    "task_removed",
    "task_log",
    "broadcast",
    "broadcast_retracted",
    "topic_event",
}


class View:
    """One client's state: a cursor, the acknowledged subscriptions, and the tasks they cover."""

    def __init__(
        self,
        cursor: int | None = None,
        rows: Iterable[Row] = (),
        task_ids: Iterable[str] = (),
        topics: Iterable[str] = (),
    ) -> None:
        """Begin with nothing, or with what a rendered page holds: position, rows, subscriptions."""
        self.cursor = cursor
        self.task_ids = set(task_ids)
        self.topics = set(topics)
        self.rows: dict[str, Row] = {row["task_id"]: row for row in rows}
        self.finished: dict[str, Row] = {}
        """The last state of each task whose subscription ended in `done`."""
        self.logs: dict[str, dict[int, Row]] = {}
        """The log lines of each task by their number."""
        self.broadcasts: dict[str, Row] = {}
        """The notices not retracted, by their id."""
        self.resets: list[str] = []
        self.positions: list[int] = []
        """The position of every event received, over all connections."""
        self.violations: list[str] = []
        self.user_id = ""
        self._deleted: set[str] = set()
        self._begin_connection()

    def resume(self) -> dict[str, Any]:
        """The `subscribe` frame with which this client comes back, `after` its cursor if any."""
        frame: dict[str, Any] = {
            "action": "subscribe",
            "task_ids": sorted(self.task_ids),
            "topics": sorted(self.topics | {"broadcasts"}),
        }
        return frame if self.cursor is None else frame | {"after": self.cursor}

    def feed_all(self, frames: Iterable[Frame]) -> "View":
        """Take frames in their order; return the view itself."""
        for frame in frames:
            self.feed(frame)
        return self

    def feed(self, frame: Frame) -> None:
        """Take the next frame; one of an unknown type moves the cursor only."""
        if frame["type"] == "connected":
            self._begin_connection()
            self.user_id = frame["user_id"]
        self._follow_position(frame)
        handler = getattr(self, f"_on_{frame['type']}", None)
        if handler is not None:
            handler(frame)

    # Positions

    def _begin_connection(self) -> None:
        """Forget what holds for one connection only, and the rows of a snapshot cut off."""
        self._settled = False
        self._snapshot: dict[str, Row] = {}
        self._touched: set[str] = set()
        self._done: set[str] = set()
        self._versions: dict[str, int] = {}
        self._notices: set[str] = set()

    def _follow_position(self, frame: Frame) -> None:
        kind, position = frame["type"], frame.get("id")
        if position is None:
            if self._settled and kind in EVENTS and not frame.get("snapshot"):
                self._object(frame, "an event without an id")
            return
        if frame.get("snapshot"):
            self._object(frame, "a snapshot with an id")
        if not self._settled and kind != "subscribed":
            if self.cursor is None:
                self._object(frame, "an id before a fresh `subscribed`: a cut now would lose tasks")
            elif kind not in EVENTS | {"unsubscribed"}:
                self._object(frame, "an id inside a replay on a frame that is no event")
        if self.cursor is not None:
            if position < self.cursor:
                self._object(frame, f"the id falls below {self.cursor}")
            elif position == self.cursor and kind in EVENTS:
                self._object(frame, "a position is served twice")
        if kind in EVENTS:
            self.positions.append(position)
        self.cursor = max(position, self.cursor or 0)

    # Tasks

    def _on_task_update(self, frame: Frame) -> None:
        task_id, row = frame["task_id"], frame["data"]
        if task_id in self._deleted:
            self._object(frame, "a deleted task is back")
        if frame.get("snapshot"):
            self._see_version(task_id, row["version"])
            self._done.discard(task_id)  # it is subscribed anew
            self._put(self._snapshot, row)
        else:
            self._expect_newer(frame, row["version"])
            self._touched.add(task_id)
            if task_id in self._snapshot:
                self._put(self._snapshot, row)
        # A snapshot row counts at once for what is acknowledged already: the server will not send
        # the events it contains, and after a cut before `subscribed` no resume would bring them.
        if self._covers(row, self.task_ids, self.topics):
            self._put(self.rows, row)
        elif self._is_newer(row, self.rows):
            self.rows.pop(task_id, None)  # given to somebody else, which ends its place in `mine`

    def _on_task_removed(self, frame: Frame) -> None:
        self._expect_newer(frame, frame["version"])
        for rows in (self.rows, self._snapshot):
            if self._is_newer(frame, rows):
                rows.pop(frame["task_id"], None)

    def _on_task_deleted(self, frame: Frame) -> None:
        task_id = frame["task_id"]
        self._see_version(task_id, frame["version"])
        self._deleted.add(task_id)
        self.rows.pop(task_id, None)
        self._snapshot.pop(task_id, None)

    def _on_task_log(self, frame: Frame) -> None:
        lines = self.logs.setdefault(frame["task_id"], {})
        lines.setdefault(frame["data"]["number"], frame["data"])

    def _on_done(self, frame: Frame) -> None:
        task_id = frame["task_id"]
        for rows in (self.rows, self._snapshot):
            if task_id in rows:
                self._put(self.finished, rows[task_id])
        self._done.add(task_id)
        self.task_ids.discard(task_id)
        self._drop_uncovered()

    # Subscriptions

    def _on_subscribed(self, frame: Frame) -> None:
        task_ids = set(frame["task_ids"]) - self._done
        topics = set(frame["topics"])
        if not frame.get("recovered"):
            for task_id, row in list(self.rows.items()):
                # A snapshot replaces what was held of it, except what an event brought meanwhile.
                replaced = self._covers(row, task_ids, topics)
                if replaced and task_id not in self._snapshot and task_id not in self._touched:
                    del self.rows[task_id]
        self.task_ids |= task_ids
        self.topics |= topics
        for row in self._snapshot.values():
            if self._covers(row, self.task_ids, self.topics):
                self._put(self.rows, row)
        self._settled = True
        self._snapshot = {}
        self._touched = set()
        self._done = set()

    def _on_unsubscribed(self, frame: Frame) -> None:
        self.task_ids -= set(frame["task_ids"])
        self.topics -= set(frame["topics"])
        self._drop_uncovered()

    def _on_reset(self, frame: Frame) -> None:
        self.resets.append(frame["reason"])
        self.cursor = None
        self.task_ids.clear()
        self.topics.clear()
        self.rows.clear()
        self._deleted.clear()
        self._begin_connection()

    # Broadcasts

    def _on_broadcast(self, frame: Frame) -> None:
        broadcast_id = frame["broadcast_id"]
        if not frame.get("snapshot"):
            if broadcast_id in self._notices:
                self._object(frame, "a broadcast is repeated on one connection")
            self._notices.add(broadcast_id)
        self.broadcasts.setdefault(broadcast_id, frame["message"])

    def _on_broadcast_retracted(self, frame: Frame) -> None:
        self.broadcasts.pop(frame["broadcast_id"], None)

    # Helpers

    def _covers(self, row: Row, task_ids: set[str], topics: set[str]) -> bool:
        mine = "mine" in topics and str(row.get("owner")) == self.user_id
        return mine or "tasks" in topics or row["task_id"] in task_ids

    def _drop_uncovered(self) -> None:
        for task_id, row in list(self.rows.items()):
            if not self._covers(row, self.task_ids, self.topics):
                del self.rows[task_id]

    def _put(self, rows: dict[str, Row], row: Row) -> None:
        """Keep the row unless a newer one is held."""
        if self._is_newer(row, rows):
            rows[row["task_id"]] = row

    def _is_newer(self, change: Frame, rows: Mapping[str, Row]) -> bool:
        """Whether a row or a removal is newer than what `rows` hold of its task."""
        held = rows.get(change["task_id"])
        return held is None or change["version"] > held["version"]

    def _expect_newer(self, frame: Frame, version: int) -> None:
        """On one connection the server suppresses what its snapshots contained.

        A resume on another connection cannot know of them, and an older version is no fault there.
        """
        task_id = frame["task_id"]
        if version <= self._versions.get(task_id, -1):
            self._object(frame, f"version {version} after {self._versions[task_id]}")
        self._see_version(task_id, version)

    def _see_version(self, task_id: str, version: int) -> None:
        self._versions[task_id] = max(version, self._versions.get(task_id, -1))

    def _object(self, frame: Frame, reason: str) -> None:
        self.violations.append(f"{reason}: {dict(frame)!r}")
