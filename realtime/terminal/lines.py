"""Events as lines of text: for people where there is no terminal, and as JSON for programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import TracebackType

import msgspec

from realtime.client.events import (
    Event,
    Reset,
    TaskDeleted,
    TaskLog,
    TaskRemoved,
    TaskState,
    TaskUpdate,
    Unsubscribed,
)

#: What a terminal would obey, in a name or a message that anybody may have written.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
#: Characters of an id that tell tasks apart.
SHORT = 8


def clean(text: str) -> str:
    """Return ``text`` as one line that a terminal only shows."""
    return _CONTROL.sub(" ", text).strip()


def summary(task: TaskState) -> str:
    """Say in one line how a task is."""
    counts = f"{task.done}/{task.total}" if task.total else ""
    words = [task.status, f"{task.progress}%", counts, clean(task.phase), clean(task.error or task.message)]
    return " ".join(word for word in words if word)


class Lines:
    """Writes a line for each event that tells something; use it in a ``with`` block."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is to be put back."""

    def show(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        if (line := line_of(event)) is not None:
            self._write(f"{event.timestamp:%H:%M:%S} {line}")


class JsonLines(Lines):
    """Writes each event as one JSON object: the fields are those of ``realtime.client.events``."""

    def show(self, event: Event) -> None:
        """Write every event, also those that say how far the snapshot goes."""
        self._write(msgspec.json.encode(event).decode())


def line_of(event: Event) -> str | None:
    """Return what is to be read of an event."""
    match event:
        case TaskUpdate():
            return f"{event.task_id[:SHORT]} {clean(event.task.name)}: {summary(event.task)}"
        case TaskLog():
            return f"{event.task_id[:SHORT]} {event.line.level}: {clean(event.line.text)}"
        case TaskDeleted():
            return f"{event.task_id[:SHORT]} was deleted"
        case TaskRemoved():
            return f"{event.task_id[:SHORT]} is somebody else's now"
        case Unsubscribed():
            lost = [task_id[:SHORT] for task_id in event.task_ids] + [clean(topic) for topic in event.topics]
            return f"{', '.join(lost)} cannot be seen any more"
        case Reset():
            return "Some events are gone; this is how things are now:"
    return None
