"""What a client can subscribe to, and which events match it. Pure, no Django.

A subscription is a *key*: ``task:<id>`` for one task, ``mine:<user id>``, ``tasks`` or
``broadcasts``. The hub's index, the ring and the log's filter all speak in keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from realtime.events import BROADCAST_KINDS, TASK_KINDS, TASK_LOG, LogEvent, Viewer

MINE, TASKS, BROADCASTS = "mine", "tasks", "broadcasts"
TOPICS = (MINE, TASKS, BROADCASTS)


def task_key(task_id: str) -> str:
    """Return the key of one task."""
    return f"task:{task_id}"


def mine_key(user_id: str) -> str:
    """Return the key of one user's tasks."""
    return f"mine:{user_id}"


def keys_of(event: LogEvent) -> Iterator[str]:
    """Yield the keys that ``event`` matches; none for an internal event."""
    if event.kind in TASK_KINDS:
        yield f"task:{event.task_id}"
        yield TASKS
        if event.owner:
            yield f"mine:{event.owner}"
        if event.previous_owner and event.previous_owner != event.owner:
            yield f"mine:{event.previous_owner}"
    elif event.kind == TASK_LOG:
        # Lines are many: only for who watches this very task.
        yield f"task:{event.task_id}"
    elif event.kind in BROADCAST_KINDS:
        yield BROADCASTS


class Subscriptions:
    """The set of things one connection is subscribed to, in the order they came."""

    def __init__(self, task_ids: Iterable[str] = (), topics: Iterable[str] = ()) -> None:
        self.task_ids: dict[str, None] = dict.fromkeys(task_ids)
        self.topics: dict[str, None] = dict.fromkeys(topics)

    def __len__(self) -> int:
        return len(self.task_ids) + len(self.topics)

    def keys(self, viewer: Viewer) -> list[str]:
        """Return the keys that stand for these subscriptions, for this viewer."""
        return [task_key(t) for t in self.task_ids] + [
            mine_key(viewer.user_id) if t == MINE else t for t in self.topics
        ]

    def add(self, other: Subscriptions) -> None:
        """Add everything of ``other``."""
        self.task_ids.update(other.task_ids)
        self.topics.update(other.topics)

    def remove(self, other: Subscriptions) -> None:
        """Remove everything of ``other`` that is here."""
        for task_id in other.task_ids:
            self.task_ids.pop(task_id, None)
        for topic in other.topics:
            self.topics.pop(topic, None)

    def copy(self) -> Subscriptions:
        """Return an independent copy."""
        return Subscriptions(self.task_ids, self.topics)
