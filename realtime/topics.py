"""What a client can subscribe to, and which events match it. Pure, no Django.

A subscription is a *key*: ``task:<id>`` for one task, ``mine:<user id>``, ``tasks`` or
``broadcasts``, and ``topic:<topic>`` for one of the project's own. The hub's index, the ring and the log's
filter all speak in keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from realtime.events import BROADCAST_KINDS, TASK_KINDS, TASK_LOG, TOPIC_EVENT, LogEvent, Viewer

MINE, TASKS, BROADCASTS = "mine", "tasks", "broadcasts"
TOPICS = (MINE, TASKS, BROADCASTS)
#: Names that a project's own topics may not have: they mean something here, or may one day.
RESERVED = frozenset({*TOPICS, "task", "broadcast", "realtime"})

#: The form of a project's own topics: a name, and perhaps a dot and a key. No more than 97 characters.
NAME, KEY = r"[a-z][a-z0-9_]{0,31}", r"[A-Za-z0-9_-]{1,64}"
OWN_PATTERN = rf"{NAME}(?:\.{KEY})?"
_NAME = re.compile(NAME, re.ASCII)
_OWN = re.compile(OWN_PATTERN, re.ASCII)


def task_key(task_id: str) -> str:
    """Return the key of one task."""
    return f"task:{task_id}"


def mine_key(user_id: str) -> str:
    """Return the key of one user's tasks."""
    return f"mine:{user_id}"


def topic_key(topic: str) -> str:
    """Return the key of one of the project's own topics."""
    return f"topic:{topic}"


def is_name(text: str) -> bool:
    """Tell whether a project's topic may be called so."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED


def is_own(topic: str) -> bool:
    """Tell whether this has the form of a project's own topic, whether there is such a one or not."""
    return _OWN.fullmatch(topic) is not None and topic.partition(".")[0] not in RESERVED


def split(topic: str) -> tuple[str, str]:
    """Return the name and the key of a topic; the key is "" where there is none."""
    name, _, key = topic.partition(".")
    return name, key


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
    elif event.kind == TOPIC_EVENT:
        yield f"topic:{event.topic}"


class Subscriptions:
    """The set of things one connection is subscribed to, in the order they came."""

    def __init__(self, task_ids: Iterable[str] = (), topics: Iterable[str] = ()) -> None:
        self.task_ids: dict[str, None] = dict.fromkeys(task_ids)
        self.topics: dict[str, None] = dict.fromkeys(topics)

    def __len__(self) -> int:
        return len(self.task_ids) + len(self.topics)

    def keys(self, viewer: Viewer) -> list[str]:
        """Return the keys that stand for these subscriptions, for this viewer."""
        return [task_key(t) for t in self.task_ids] + [_key_of(t, viewer) for t in self.topics]

    @property
    def own(self) -> list[str]:
        """The topics of the project among these."""
        return [topic for topic in self.topics if topic not in TOPICS]

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


def _key_of(topic: str, viewer: Viewer) -> str:
    if topic == MINE:
        return mine_key(viewer.user_id)
    return topic if topic in TOPICS else topic_key(topic)
