"""Writes of many tasks at once, and past save(): each real change of a row is one event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db.models import F, Value
from django.db.models.functions import Concat

from realtime import log
from realtime.exceptions import IllegalTransition, InvalidValue
from realtime.models import Event, Task
from realtime.models.public import public_data
from realtime.models.queryset import CHUNK
from tests import router
from tests.journal import journal
from tests.kit.threads import DEADLINE, in_thread, open_transaction

pytestmark = pytest.mark.requirement("F9")


def assert_events_tell_the_rows() -> None:
    """The last event of each task is what a snapshot would show; nothing waits."""
    assert not log.has_pending()
    last = {event.task_id: event for event in journal()}
    for task in Task.objects.all():
        assert last[str(task.pk)].data == public_data(task)
        assert last[str(task.pk)].version == task.version


@pytest.fixture
def tasks(engine: str) -> list[Task]:
    """Three pending tasks."""
    return [Task.objects.create(name=name) for name in ("a", "b", "c")]


def test_update(tasks: list[Task]) -> None:
    """Every matched row gets its event, and update() returns their number."""
    assert Task.objects.filter(name__in=["a", "b"]).update(message="hello", status="running") == 2
    assert len(journal()) == 5
    assert {event.task_id for event in journal()[3:]} == {str(task.pk) for task in tasks[:2]}
    assert_events_tell_the_rows()


def test_an_update_forgets_what_was_read(tasks: list[Task]) -> None:
    """As Django's own does."""
    rows = Task.objects.filter(name="a")
    assert [task.message for task in rows] == [""]
    rows.update(message="hello")
    assert [task.message for task in rows] == ["hello"]


def test_update_with_expressions(tasks: list[Task]) -> None:
    """The events tell what the database computed."""
    Task.objects.update(done=F("done") + 5, message=Concat(F("name"), Value("!")))
    assert sorted(event.data["message"] for event in journal()[3:]) == ["a!", "b!", "c!"]
    assert {event.data["done"] for event in journal()[3:]} == {5}
    assert_events_tell_the_rows()


def test_update_that_changes_nothing_is_no_event(tasks: list[Task]) -> None:
    """A row that matches and already has the values keeps its version."""
    tasks[0].message = "same"
    tasks[0].save()
    assert Task.objects.update(message="same") == 3
    assert sorted(Task.objects.values_list("version", flat=True)) == [2, 2, 2]
    assert Task.objects.update(message="same") == 3
    assert Task.objects.none().update(message="other") == 0
    assert len(journal()) == 6


def test_an_illegal_update_rolls_back_all(tasks: list[Task]) -> None:
    """One row that may not change so, and nothing is changed."""
    tasks[1].cancel()
    before = list(Task.objects.order_by("pk").values())
    with pytest.raises(IllegalTransition):
        Task.objects.update(status="running")
    assert list(Task.objects.order_by("pk").values()) == before
    assert len(journal()) == 4
    assert not log.has_pending()


def test_update_asks_its_filter_again_under_the_lock(tasks: list[Task], engine: str) -> None:
    """A row that stopped matching while update() waited for it is left alone."""
    task = tasks[0]
    with open_transaction(engine, task.start) as commit:
        pending = Task.objects.filter(pk=task.pk, status="pending")
        waiting = in_thread(lambda: pending.update(status="cancelled"))
        commit()
    assert waiting.result(DEADLINE) == 0
    assert Task.objects.get(pk=task.pk).status == "running"


def test_update_of_more_than_a_chunk(engine: str) -> None:
    """Many rows are changed in pieces of one transaction, each with its event."""
    Task.objects.bulk_create([Task(name=str(number)) for number in range(CHUNK + 3)])
    assert Task.objects.update(phase="second") == CHUNK + 3
    assert len(journal()) == 2 * (CHUNK + 3)
    assert_events_tell_the_rows()


def test_update_refuses_bad_values(tasks: list[Task]) -> None:
    """What save() would refuse, update() refuses too, and changes nothing."""
    for values in ({"result": float("nan")}, {"done": -1}, {"progress": 101}):
        with pytest.raises(InvalidValue):
            Task.objects.update(**values)
    assert len(journal()) == 3


def test_update_of_the_owner(tasks: list[Task], make_user: Any) -> None:
    """One event per task, with the owner it has and the one it had."""
    first, second = make_user(), make_user()
    Task.objects.filter(name="a").update(owner=first)
    Task.objects.filter(name="a").update(owner_id=second.pk)
    owners = [(event.previous_owner, event.owner) for event in journal()[3:]]
    assert owners == [("", str(first.pk)), (str(first.pk), str(second.pk))]


def test_bulk_create(engine: str) -> None:
    """Each new row is one event, in their order, with the times its status implies."""
    tasks = Task.objects.bulk_create([Task(name="a"), Task(name="b", status="completed")])
    assert [event.task_id for event in journal()] == [str(task.pk) for task in tasks]
    assert Task.objects.get(name="b").finished_at is not None
    assert_events_tell_the_rows()
    tasks[0].message = "goes on"
    tasks[0].save()
    assert_events_tell_the_rows()


@pytest.mark.parametrize("option", [{"ignore_conflicts": True}, {"update_conflicts": True}])
def test_bulk_create_refuses_to_ignore_conflicts(engine: str, option: dict[str, bool]) -> None:
    """The database would not tell which rows it wrote, and an event might be a lie."""
    with pytest.raises(ValueError, match="conflicts"):
        Task.objects.bulk_create([Task(name="a")], **option)
    assert not Event.objects.exists()


def test_bulk_update(tasks: list[Task]) -> None:
    """Each row that changed is one event."""
    for task, message in zip(tasks, ["one", "two", ""], strict=True):
        task.message = message
    Task.objects.bulk_update(tasks, ["message"])
    assert sorted(event.data["message"] for event in journal()[3:]) == ["one", "two"]
    assert_events_tell_the_rows()


def test_update_or_create_and_get_or_create(engine: str) -> None:
    """Both go through save()."""
    Task.objects.update_or_create(name="a", defaults={"message": "one"})
    Task.objects.update_or_create(name="a", defaults={"message": "two"})
    Task.objects.get_or_create(name="a")
    assert [event.data["message"] for event in journal()] == ["one", "two"]
    assert_events_tell_the_rows()


@pytest.mark.parametrize("many", [True, False], ids=["queryset", "instance"])
def test_delete(tasks: list[Task], many: bool) -> None:
    """A deletion is one event, with a version above all others of the task."""
    tasks[0].start()
    if many:
        Task.objects.filter(name="a").delete()
    else:
        Task.objects.get(name="a").delete()
    event = journal()[-1]
    assert (event.kind, event.task_id, event.version) == ("task_deleted", str(tasks[0].pk), 3)
    assert len(journal()) == 5
    assert Task.objects.count() == 2


def test_loaddata(engine: str, tmp_path: Path) -> None:
    """Fixtures are written past save(), and published all the same."""
    task = Task(name="import", status="running", progress=40, version=6)
    fixture = tmp_path / "tasks.json"
    fixture.write_text(serializers.serialize("json", [task]))
    call_command("loaddata", str(fixture), database=engine, verbosity=0)
    assert journal()[0].data["progress"] == 40
    assert_events_tell_the_rows()
    rows = json.loads(fixture.read_text())
    rows[0]["fields"] |= {"progress": 50, "version": 7}
    fixture.write_text(json.dumps(rows))
    call_command("loaddata", str(fixture), database=engine, verbosity=0)
    assert [event.version for event in journal()] == [6, 7]
    assert_events_tell_the_rows()


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
def test_writes_go_to_the_database_for_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a replica that is read from, rows are locked, changed and told where they are written."""
    monkeypatch.setattr(router.ActiveRouter, "db_for_read", lambda *args, **hints: "postgres")
    Task.objects.bulk_create([Task(name="one"), Task(name="two")])
    assert Task.objects.update(message="hello") == 2
    assert Task.objects.using("default").filter(message="hello").count() == 2
    assert Task.objects.filter(name="one").delete()[0] == 1
    assert Event.objects.using("default").count() == 2 + 2 + 1
    assert Event.objects.using("postgres").count() == 0
