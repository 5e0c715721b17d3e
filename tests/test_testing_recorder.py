"""``realtime_events``: what the code under test has told, in plain words, committed or not."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from realtime import broadcasts, publish
from realtime.models import Task
from realtime.testing import Recorder


def test_it_tells_what_a_transaction_has_written_that_never_commits(realtime_events: Recorder) -> None:
    """A plain test is one transaction, rolled back at the end: its events are there all the same."""
    task = Task.objects.create(name="Import")
    task.start()
    task.complete(result={"rows": 3})
    told = realtime_events.of(task=task)
    assert [event.data["status"] for event in told] == ["pending", "running", "completed"]
    assert (told[-1].kind, told[-1].task_id, told[-1].data["result"]) == (
        "task_update",
        str(task.pk),
        {"rows": 3},
    )


def test_it_begins_with_the_test(db: None, request: pytest.FixtureRequest) -> None:
    """What was told before is not the code's under test; ``clear()`` begins anew."""
    Task.objects.create(name="of the fixtures")
    events: Recorder = request.getfixturevalue("realtime_events")
    assert not events
    assert repr(events) == "no events"
    Task.objects.create(name="of the test")
    assert [event.data["name"] for event in events] == ["of the test"]
    events.clear()
    assert len(events) == 0


def test_what_was_rolled_back_was_not_told(realtime_events: Recorder) -> None:
    """An inner transaction that fails takes its events with it."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Task.objects.create(name="never")
        raise ZeroDivisionError
    assert not realtime_events


def test_each_kind_of_event_is_told_in_its_words(realtime_events: Recorder, tmp_path: Any) -> None:
    """Tasks with their owners, lines, notices and the project's own topics; nothing internal."""
    ada, ben = (get_user_model().objects.create_user(name) for name in ("ada", "ben"))
    task = Task.objects.create(name="Import", owner=ada)
    task.start()
    task.log("half-way", level="warning")
    task.owner = ben
    task.save()
    publish("order.42", "shipped", {"carrier": "DHL"}, audience="staff")
    broadcasts.send("Back in ten minutes.", title="Maintenance")
    pk = task.pk
    task.delete()

    kinds = [event.kind for event in realtime_events]
    updates = ["task_update", "task_update", "task_log", "task_update"]
    assert kinds == [*updates, "topic_event", "broadcast", "task_deleted"]
    (line,) = realtime_events.of(task=pk, kind="task_log")
    assert (line.data["text"], line.data["level"]) == ("half-way", "warning")
    assert realtime_events.of(task=pk)[3].previous_owner == str(ada.pk)
    (shipped,) = realtime_events.of(topic="order.42")
    assert (shipped.event, shipped.data, shipped.audience) == (
        "shipped",
        {"carrier": "DHL"},
        {"kind": "staff"},
    )
    (notice,) = realtime_events.of(kind="broadcast")
    assert (notice.data["title"], notice.data["message"]) == ("Maintenance", "Back in ten minutes.")
    assert "order.42" in repr(realtime_events)


def test_committed_events_are_the_same(engine: str, realtime_events: Recorder) -> None:
    """On each engine, with real commits: positioned events are told as those that wait."""
    task = Task.objects.create(name="Import")
    with transaction.atomic(using=engine):
        task.start()
        assert len(realtime_events.of(task=task)) == 2
    assert [event.data["status"] for event in realtime_events] == ["pending", "running"]
