"""Saving a task: what changed is written onto the row as it is, and is one event."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from realtime.models import Task
from realtime.models.public import public_data
from tests.journal import journal
from tests.kit.threads import DEADLINE, in_thread, open_transaction, together


def writes(using: str, work: Any) -> list[str]:
    """The statements with which `work` changes a task's row or writes an event."""
    with CaptureQueriesContext(connections[using]) as queries:
        work()
    changes = ('UPDATE "realtime_task"', "INSERT")
    return [q["sql"] for q in queries if q["sql"].startswith(changes)]


def test_the_last_event_is_the_row(engine: str, make_user: Any) -> None:
    """After every kind of save the event tells exactly what a snapshot would."""
    task = Task.objects.create(name="import", owner=make_user())
    for change in ({"status": "running"}, {"progress": 5}, {"result": {"a": [1, "é"]}}, {"total": 7}):
        for name, value in change.items():
            setattr(task, name, value)
        task.save()
        assert journal()[-1].data == public_data(Task.objects.get())


def test_a_save_that_changes_nothing_writes_nothing(engine: str) -> None:
    """No event, no version, no UPDATE."""
    task = Task.objects.create(name="import")
    assert writes(engine, task.save) == []
    task.message = "once"
    task.save()
    stale = Task.objects.get()
    stale.message = "twice"
    Task.objects.update(message="twice")
    assert writes(engine, stale.save) == []
    assert stale.version == 3
    assert len(journal()) == 3


def test_a_stale_instance_writes_only_what_it_changed(engine: str) -> None:
    """Two who loaded the same row and changed different fields lose nothing of each other."""
    Task.objects.create(name="import")
    one, other = Task.objects.get(), Task.objects.get()
    one.message = "reading"
    one.save()
    other.phase = "first"
    other.save()
    row = Task.objects.get()
    assert (row.message, row.phase, row.version) == ("reading", "first", 3)
    assert (other.message, other.version) == ("reading", 3)


def test_concurrent_saves_of_one_task_lose_nothing(engine: str) -> None:
    """The version is taken from the locked row: one more for each event, whoever saves."""
    task = Task.objects.create(name="import")
    names = ("message", "phase", "error", "done", "total")

    def save(name: str) -> None:
        mine = Task.objects.get()
        for value in range(1, 6):
            setattr(mine, name, value if name in ("done", "total") else str(value))
            mine.save()

    together(*[lambda name=name: save(name) for name in names])
    task.refresh_from_db()
    assert [str(getattr(task, name)) for name in names] == ["5"] * 5
    assert [event.version for event in journal()] == list(range(1, 27))
    assert task.version == 26


def test_a_save_waits_for_the_row_and_builds_on_it(engine: str) -> None:
    """A save that began while another transaction held the row writes on top of what that left."""
    task = Task.objects.create(name="import")
    with open_transaction(engine, lambda: Task.objects.update(message="first")) as commit:
        second = in_thread(lambda: (setattr(task, "phase", "second"), task.save()))
        commit()
    second.result(DEADLINE)
    row = Task.objects.get()
    assert (row.message, row.phase, row.version) == ("first", "second", 3)


def test_update_fields_writes_only_those(engine: str) -> None:
    """The others stay on the instance as they are, and go with a later save."""
    task = Task.objects.create(name="import")
    task.message, task.phase, task.progress = "m", "p", 3
    task.save(update_fields=["message"])
    assert (Task.objects.get().message, Task.objects.get().phase) == ("m", "")
    assert task.phase == "p"
    task.save(update_fields=[])
    task.save()
    row = Task.objects.get()
    assert (row.phase, row.progress, row.version) == ("p", 3, 3)


def test_a_deferred_field_is_neither_lost_nor_written_back(engine: str) -> None:
    """What an instance has not loaded it does not change, except the version and the times."""
    Task.objects.create(name="import", message="long text")
    task = Task.objects.only("id", "status").get()
    Task.objects.update(phase="elsewhere")
    task.status = "running"
    task.save()
    row = Task.objects.get()
    assert (row.message, row.phase, row.version) == ("long text", "elsewhere", 3)
    assert row.started_at is not None
    assert [event.version for event in journal()] == [1, 2, 3]
    assert journal()[-1].data == public_data(row)


def test_loading_a_deferred_field_keeps_unsaved_changes(engine: str) -> None:
    """To look at a deferred field, or to refresh one field, forgets nothing of the others."""
    Task.objects.create(name="import", message="long text")
    task = Task.objects.defer("message").get()
    task.phase = "unsaved"
    assert task.message == "long text"
    task.refresh_from_db(fields=["status"])
    task.save()
    assert Task.objects.get().phase == "unsaved"


def test_a_change_inside_a_result_is_seen(engine: str) -> None:
    """A result that was loaded or saved may be changed in place, time and again."""
    task = Task.objects.create(name="import", result={"rows": 0})
    for rows in (1, 2, 3):
        task.result["rows"] = rows
        task.save()
        assert Task.objects.get().result == {"rows": rows}
    assert task.version == 4


def test_saving_a_deleted_task_raises(engine: str) -> None:
    """A worker whose task is gone is told so; the row does not come back."""
    task = Task.objects.create(name="import")
    Task.objects.get().delete()
    task.message = "still here"
    for write in (task.save, task.start, task.cancel, lambda: task.report(5)):
        with pytest.raises(Task.DoesNotExist):
            write()
    assert not Task.objects.exists()
    assert [event.kind for event in journal()] == ["task_update", "task_deleted"]


@pytest.mark.parametrize(("name", "value"), [("traceback", "secret"), ("lease_expires_at", "now")])
def test_a_private_field_is_no_event(engine: str, name: str, value: Any) -> None:
    """What no client sees makes no event and no version, on any way."""
    task = Task.objects.create(name="import")
    value = task.created_at if value == "now" else value
    setattr(task, name, value)
    task.save()
    assert getattr(Task.objects.get(), name) == value
    Task.objects.update(**{name: None if name == "lease_expires_at" else "another"})
    assert Task.objects.get().version == 1
    assert len(journal()) == 1
    assert not {"traceback", "lease_expires_at"} & journal()[0].data.keys()


@pytest.mark.usefixtures("engine", "own_connections")
async def test_async_code_saves_as_well() -> None:
    """asave() and acreate() are Django's own and reach the log like save()."""
    task = await Task.objects.acreate(name="import")
    task.message = "from a coroutine"
    await task.asave()
    assert (await Task.objects.aget()).version == 2


def test_a_new_task_is_inserted_with_its_own_id(engine: str) -> None:
    """An id that exists is refused, never written over."""
    task = Task.objects.create(name="import")
    twin = Task(pk=task.pk, name="twin")
    with pytest.raises(Exception, match=r"(?i)unique"), transaction.atomic(using=engine):
        twin.save()
    assert Task.objects.get().name == "import"
    assert len(journal()) == 1
