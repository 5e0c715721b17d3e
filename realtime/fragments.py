"""``GET /events?format=html``: each frame as HTML that a template of the project's has written, for HTMX.

The fragment of an event is rendered once per language and time zone, not once per client. What is shown is
text from anybody: templates escape it, and an event's line ends cannot begin a field.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.utils import timezone, translation
from django.utils.html import escape
from msgspec import UNSET

from realtime import sse
from realtime.events import FINAL, LogEvent
from realtime.exceptions import UNKNOWN_TOPIC
from realtime.models import Task
from realtime.protocol import server
from realtime.protocol.delivery import frame_of
from realtime.templatetags.realtime import fragment, shown_notice
from realtime.topics import split

logger = logging.getLogger("realtime.sse")

#: Where a project puts its own: ``task.html``, ``gone.html``, ``broadcast.html``, ``topics/<name>.html``.
FOLDER = "realtime/fragments"
#: Events that are replayed as HTML at most; after more a page is sent the rows as they are, in a ``reset``.
#: Each is rendered on the loop that serves everybody, which has its turn after each: see :func:`written`.
FRAGMENTS_MISSED = 100
#: Events whose HTML is kept, of each language and time zone: the latest, which everybody is being sent.
KEPT = 256
#: What a page says for a fragment whose template fails.
BROKEN = "<p>This cannot be shown now.</p>"
#: The event that says: your list of tasks is another one now, or a task on it has ended.
TASKS_CHANGED = "tasks_changed"
#: Fields that are times, as a task's model has them.
_TIMES = ("cancel_requested_at", "created_at", "updated_at", "started_at", "finished_at")
#: Frames that a template makes into events.
_RENDERED = (server.TaskUpdate, server.Broadcast, server.TopicEvent)


class Part(NamedTuple):
    """One event of the stream: its name, and the HTML or the word that it brings. Never empty.

    A browser does not dispatch an event without data.
    """

    name: str
    data: str


class Late(bytes):
    """Events of the stream that are rendered when it is their turn to be sent; until then there is nothing.

    Rendered once, for whoever is sent them.
    """

    _make: Callable[[], bytes]
    _made: bytes | None = None

    @classmethod
    def of(cls, make: Callable[[], bytes]) -> Late:
        """Return events that ``make`` will render."""
        late = cls()
        late._make = make
        return late

    @property
    def made(self) -> bool:
        """Whether somebody has been sent them."""
        return self._made is not None

    def make(self) -> bytes:
        """Return the events, rendered."""
        if self._made is None:
            self._made = self._make()
            del self._make  # and with it the frame
        return self._made


async def written(batch: list[Any]) -> list[bytes]:
    """Return a batch as it is sent. Everybody else has the loop between two of its fragments."""
    found: list[bytes] = []
    for payload in batch:
        if isinstance(payload, Late):
            if not payload.made:
                await asyncio.sleep(0)
            found.append(payload.make())
        else:
            found.append(payload)
    return found


def task_of(data: dict[str, Any]) -> Task:
    """Return a task, unsaved, with the public fields of a frame: what templates know from other pages."""
    values: dict[str, Any] = {n: v for n, v in data.items() if n not in ("task_id", "owner", "truncated")}
    for name in _TIMES:
        if values.get(name) is not None:
            values[name] = datetime.fromisoformat(values[name])
    values["retry_of_id"] = values.pop("retry_of", None)
    return Task(pk=Task._meta.pk.to_python(data["task_id"]), owner_id=data.get("owner"), **values)


class Fragments:
    """Encodes frames as events of HTML. One object per language and time zone, for all streams."""

    def __init__(self, retry_ms: int, language: str | None, zone: str) -> None:
        self._retry_ms, self._language, self._zone = retry_ms, language, zone
        # By the event's identity, which holds for as long as it is kept here.
        self._latest: dict[tuple[int, bool], tuple[LogEvent, Late]] = {}

    def __call__(self, frame: server.Frame) -> bytes:
        """Return a frame's events; at least its id, so that a browser's cursor goes on."""
        if isinstance(frame, _RENDERED):
            return Late.of(lambda: self._encode(frame, [*self._parts(frame)]))
        return self._encode(frame, [*self._parts(frame)])

    def of_event(self, event: LogEvent, removed: bool) -> Late:
        """Encode an event of the log, the same for everybody while it is new."""
        key = id(event), removed
        if (kept := self._latest.get(key)) is not None:
            return kept[1]
        late = Late.of(lambda: self._of_event(event, removed))
        self._latest[key] = event, late
        if len(self._latest) > KEPT:
            del self._latest[next(iter(self._latest))]
        return late

    def _of_event(self, event: LogEvent, removed: bool) -> bytes:
        """Render an event; unlike its frame it tells that the task has changed hands."""
        frame = frame_of(event, removed=removed)
        parts = [*self._parts(frame)]
        if event.previous_owner and not removed:
            parts.append(Part(TASKS_CHANGED, event.task_id))
        return self._encode(frame, parts)

    def ended(self, topics: Collection[str]) -> bytes:
        """Return a whole stream for who may see none of what it asks for: each has ended, and all is done."""
        pause = b":ended\nretry: %d\n\n" % self._retry_ms
        ends = [sse.encode(part.data, event=part.name) for part in _ended(topics, UNKNOWN_TOPIC.code)]
        return pause + b"".join(ends) + sse.encode("done", event="done")

    def done(self, id: int) -> bytes:
        """Return the last event of a stream that has nothing left to watch."""
        return sse.encode("done", event="done", id=id)

    def _encode(self, frame: server.Frame, parts: list[Part]) -> bytes:
        id = None if frame.id is UNSET else frame.id
        if isinstance(frame, server.Connected | server.Reconnect):
            pause = frame.after_ms if isinstance(frame, server.Reconnect) else self._retry_ms
            return b":%s\nretry: %d\n\n" % (frame.type.encode(), pause)
        if not parts:
            return sse.COMMENT if id is None else b"id: %d\n\n" % id
        *others, last = parts
        # The cursor moves with the last one only: a line cut in between would lose the rest.
        before = b"".join(sse.encode(part.data, event=part.name) for part in others)
        return before + sse.encode(last.data, event=last.name, id=id)

    def _parts(self, frame: server.Frame) -> Iterator[Part]:
        match frame:
            case server.TaskUpdate():
                yield Part(f"task-{frame.task_id}", self._task(frame))
                if not frame.snapshot and (frame.data["version"] == 1 or frame.data["status"] in FINAL):
                    yield Part(TASKS_CHANGED, frame.task_id)
            case server.TaskDeleted() | server.TaskRemoved():
                yield from self._gone([frame.task_id])
            case server.Unsubscribed():
                yield from self._gone(frame.task_ids)
                yield from _ended(frame.topics, frame.reason or "unsubscribed")
            case server.Subscribed():
                if frame.recovered is not True:
                    yield Part(TASKS_CHANGED, "all")
            case server.Reset():
                yield Part("reset", frame.reason)
            case server.Broadcast():
                yield Part("broadcast", self._render("broadcast", lambda: _notice(frame)))
            case server.BroadcastRetracted():
                yield Part("broadcast_retracted", escape(frame.broadcast_id))
            case server.TopicEvent():
                yield Part(f"topic-{frame.topic}", self._topic(frame))
            case server.Error(task_id=str(task_id)):
                yield from self._gone([task_id])
            case server.Error(topic=str(topic)):
                yield from _ended([topic], frame.code)
            case server.Error():
                yield Part("problem", escape(frame.message))

    def _task(self, frame: server.TaskUpdate) -> str:
        return self._render("task", lambda: fragment(task_of(frame.data)))

    def _gone(self, task_ids: list[str]) -> Iterator[Part]:
        for task_id in task_ids:
            yield Part(f"task-{task_id}", self._render("gone", {"task_id": task_id}))
        if task_ids:
            yield Part(TASKS_CHANGED, task_ids[-1])

    def _topic(self, frame: server.TopicEvent) -> str:
        """Return the HTML of a project's own topic; without a template only the word, which is no HTML."""
        name, key = split(frame.topic)
        context = {"topic": frame.topic, "key": key, "event": frame.event, "data": frame.data}
        return self._render(f"topics/{name}", context) if has_template(name) else escape(frame.event)

    def _render(self, name: str, context: Any) -> str:
        """Render a fragment as its viewers read it; one that fails is logged, and ends no stream."""
        try:
            with translation.override(self._language), timezone.override(self._zone):
                given = context() if callable(context) else context
                return get_template(f"{FOLDER}/{name}.html").render(given).strip() or "<!-- nothing -->"
        except Exception:
            logger.exception("The fragment %s could not be rendered.", name)
            return BROKEN


def _ended(topics: Iterable[str], reason: str) -> Iterator[Part]:
    """Yield what says that topics are sent no longer, under a name of its own: the event is no HTML."""
    for topic in topics:
        yield Part(f"topic-{topic}-end", escape(reason))


def _notice(frame: server.Broadcast) -> dict[str, Any]:
    return {"notice": shown_notice(frame.broadcast_id, frame.timestamp, frame.message, frame.sender)}


@lru_cache(maxsize=256)
def has_template(name: str) -> bool:
    """Tell whether the project has a template for a topic's events, be it one that fails."""
    try:
        get_template(f"{FOLDER}/topics/{name}.html")
    except TemplateDoesNotExist:
        return False
    except Exception:  # rendering it says what is wrong with it, each time
        return True
    return True


@lru_cache(maxsize=256)
def as_fragments(retry_ms: int, language: str | None, zone: str) -> Fragments:
    """Return the encoder of a stream of HTML; the same one for the same arguments."""
    return Fragments(retry_ms, language, zone)
