"""The snapshot law for your code: what clients held before, and the events since, make what is there now."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from realtime import grants, log, registry
from realtime.changes import states
from realtime.events import OF_TASKS, TOPIC_EVENT, LogEvent, Viewer
from realtime.live import ModelTopic
from realtime.models import Task
from realtime.models.public import public_data
from realtime.protocol.delivery import as_text, frame_of
from realtime.publishing import clean_content
from realtime.testing.recorder import Recorder, Told, told_of
from realtime.testing.view import View

T = TypeVar("T")
Row = dict[str, Any]
#: What an event makes of a topic's state.
Apply = Callable[[Row, Told], Mapping[str, Any]]

_HEAD = "What was told does not lead to what is there. Changes past the models' own ways are not told."


def as_told(state: Row, told: Told) -> Mapping[str, Any]:
    """Take an event's data for the new state, as of a live model."""
    return told.data


def assert_converges(action: Callable[[], T], *, topics: Collection[str] = (), apply: Apply = as_told) -> T:
    """Run ``action`` and return what it returns, if whoever followed its events knows how things are now.

    Compared are all tasks, as seen by who may see all and by each owner; all rows of registered live models;
    and the project's own ``topics`` that are named, whose snapshot is what ``apply`` makes of the snapshot
    before and each event, in their order. Nothing has to be committed. Raises ``AssertionError`` with the
    fields that differ, and ``ValueError`` for a topic that is not registered.
    """
    recorder, before = Recorder(), _look(topics)
    result = action()
    events = [row.as_log_event() for row in recorder.rows()]
    after = _look(topics)
    differences = [*_of_tasks(before, events, after), *_of_topics(before, recorder, after, apply)]
    if differences:
        raise AssertionError("\n  ".join([_HEAD, *differences]))
    return result


@dataclass
class _State:
    """How things are: the public rows of tasks by id, and the states of topics."""

    tasks: dict[str, Row]
    topics: dict[str, Row]


def _look(topics: Iterable[str]) -> _State:
    tasks = {str(task.pk): _plain(public_data(task)) for task in Task.objects.all()}
    return _State(tasks, {**dict(_live_rows()), **{topic: _snapshot(topic) for topic in topics}})


def _plain(row: Row) -> Row:
    plain: Row = msgspec.json.decode(msgspec.json.encode(row))
    return plain


def _live_rows() -> Iterator[tuple[str, Row]]:
    """Yield each row of a live model whose snapshot is the fields that its events tell."""
    for _, topic in registry.registered:
        if isinstance(topic, ModelTopic) and type(topic).snapshot is ModelTopic.snapshot:
            rows = topic.model._base_manager.all()
            found = states(topic.model, list(rows.values_list("pk", flat=True)), rows.db)
            yield from ((f"{topic.name}.{pk}", _plain(state)) for pk, state in found.items())


def _snapshot(topic: str) -> Row:
    if (found := registry.find(topic)) is None:
        raise ValueError(f"There is no topic {topic!r}; register it.")
    served, key = found
    try:
        return _plain(clean_content(served.snapshot(key)))
    except grants.NO_SUCH_THING:
        return {}


def _of_tasks(before: _State, events: list[LogEvent], after: _State) -> Iterator[str]:
    differences = [*_seen_by(Viewer("", view_all=True), before, events, after)]
    yield from differences
    if not differences:
        # What is right for all may still be wrong for one: a task that was given away.
        rows = [*before.tasks.values(), *after.tasks.values()]
        for owner in sorted({row["owner"] for row in rows if row["owner"]}):
            seen = _seen_by(Viewer(owner), before, events, after)
            yield from (f"for user {owner}, {difference}" for difference in seen)


def _seen_by(viewer: Viewer, before: _State, events: list[LogEvent], after: _State) -> Iterator[str]:
    """Feed a client's view with what the server would send to the viewer, and compare."""

    def visible(state: _State) -> dict[str, Row]:
        rows = state.tasks.items()
        return {i: row for i, row in rows if viewer.view_all or row["owner"] == viewer.user_id}

    begin = log.position()
    view = View(begin, visible(before).values(), (), ["tasks" if viewer.view_all else "mine"])
    view.user_id = viewer.user_id
    of_tasks = [event for event in events if event.kind in OF_TASKS and viewer.sees(event)]
    # They may have no position yet: the order is what counts.
    for position, event in enumerate(of_tasks, start=begin + 1):
        removed = bool(event.previous_owner) and viewer.loses(event)
        frame = frame_of(msgspec.structs.replace(event, position=position), removed=removed)
        view.feed(json.loads(as_text(frame)) | {"id": position})
    yield from _compared("task", view.rows, visible(after))
    yield from view.violations


def _of_topics(before: _State, recorder: Recorder, after: _State, apply: Apply) -> Iterator[str]:
    held = dict(before.topics)
    for row in recorder.rows().filter(kind=TOPIC_EVENT):
        if row.topic in held or row.topic in after.topics:
            held[row.topic] = _plain(dict(apply(held.get(row.topic, {}), told_of(row))))
    # Of what is gone, nothing is left.
    there = {topic: after.topics.get(topic, {}) for topic in held | after.topics}
    yield from _compared("topic", {topic: held.get(topic, {}) for topic in there}, there)


def _compared(what: str, held: Mapping[str, Row], there: Mapping[str, Row]) -> Iterator[str]:
    for key in sorted({*held, *there}):
        mine, true = held.get(key), there.get(key)
        if mine is None or true is None:
            name = (true or mine or {}).get("name", "")
            missing = "is there, and was not told" if mine is None else "is gone, and that was not told"
            yield f"{what} {key} ({name}) {missing}"
        elif mine != true:
            names = [n for n in {**true, **mine} if mine.get(n) != true.get(n) or (n in mine) != (n in true)]
            fields = "; ".join(f"{n} is {true.get(n)!r}, told {mine.get(n)!r}" for n in names)
            named = f" ({true['name']})" if what == "task" and "name" in true else ""
            yield f"{what} {key}{named}: {fields}"
