"""The work API: start, report, complete, fail and cancel, from sync and from async code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime.events import FINAL, STATUSES
from realtime.exceptions import IllegalTransition, InvalidValue, TaskCancelled
from realtime.models import Task
from tests.journal import journal


@pytest.fixture(autouse=True)
def every_report_is_written(settings: Any) -> None:
    """No interval between two reports."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}


def in_status(status: str) -> Task:
    """A task that somebody else loads in this status."""
    return Task.objects.get(pk=Task.objects.create(name="import", status=status).pk)


def outcome(task: Task, work: Callable[[], None]) -> str:
    """What became of it: the row's status, or the error's name."""
    try:
        work()
    except (IllegalTransition, TaskCancelled) as error:
        return type(error).__name__
    return str(Task.objects.get(pk=task.pk).status)


#: What each call makes of a task in each status; a running one that is asked to cancel stays so.
OUTCOMES = {
    "start": dict.fromkeys(STATUSES, "IllegalTransition") | {"pending": "running"},
    "report": dict.fromkeys(STATUSES, "IllegalTransition")
    | {"running": "running", "cancelled": "TaskCancelled"},
    "complete": dict.fromkeys(STATUSES, "IllegalTransition") | {"running": "completed"},
    "fail": dict.fromkeys(STATUSES, "IllegalTransition") | {"pending": "failed", "running": "failed"},
    "cancel": dict.fromkeys(STATUSES, "IllegalTransition")
    | {"pending": "cancelled", "running": "running", "cancelled": "cancelled"},
}


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("call", OUTCOMES)
def test_every_call_in_every_status(engine: str, call: str) -> None:
    """A legal call is one event, any other raises and leaves row and instance as they were."""
    arguments = {"report": [50], "complete": [{"rows": 3}], "fail": ["disk full"]}.get(call, [])
    for status in STATUSES:
        task, events = in_status(status), len(journal())
        before = (task.status, task.result, task.error, task.progress)
        expected = OUTCOMES[call][status]
        assert outcome(task, lambda task=task: getattr(task, call)(*arguments)) == expected
        if expected not in STATUSES:
            assert (task.status, task.result, task.error, task.progress) == before
            assert Task.objects.get(pk=task.pk).status == status
        changed = expected in STATUSES and (call, status) != ("cancel", "cancelled")
        assert len(journal()) == events + changed


@pytest.mark.requirement("T10")
def test_cancel_is_cooperative(engine: str) -> None:
    """Asked from outside, seen by the worker at its next written report, said to be done by it."""
    worker = Task.objects.create(name="import")
    worker.start()
    asking = Task.objects.get()
    asking.cancel()
    assert (asking.status, asking.cancel_requested_at is None) == ("running", False)
    assert journal()[-1].data["cancel_requested_at"] is not None
    asking.cancel()
    Task.objects.get().cancel()
    assert len(journal()) == 3  # asking again is no event
    with pytest.raises(TaskCancelled):
        worker.report(50)
    assert len(journal()) == 3
    worker.cancel()
    assert (worker.status, Task.objects.get().status) == ("cancelled", "cancelled")
    assert worker.finished_at is not None
    worker.cancel()
    assert len(journal()) == 4


@pytest.mark.requirement("T10")
@pytest.mark.parametrize("end", ["complete", "fail"])
def test_a_worker_may_finish_though_asked_to_cancel(engine: str, end: str) -> None:
    """A job that was nearly done need not be thrown away; a late request changes nothing any more."""
    worker = Task.objects.create(name="import")
    worker.start()
    Task.objects.get().cancel()
    getattr(worker, end)()
    assert Task.objects.get().status == {"complete": "completed", "fail": "failed"}[end]
    with pytest.raises(IllegalTransition):
        Task.objects.get().cancel()


@pytest.mark.requirement("T10")
def test_a_worker_that_loaded_the_task_running_can_end_its_cancel(engine: str) -> None:
    """Another process than the one that called start() may do the work: TaskCancelled tells it so."""
    Task.objects.create(name="import", status="running")
    worker = Task.objects.get()
    Task.objects.get().cancel()
    with pytest.raises(TaskCancelled):
        worker.report(1)
    worker.cancel()
    assert Task.objects.get().status == "cancelled"


@pytest.mark.requirement("T10")
def test_a_cancelled_row_tells_its_worker(engine: str) -> None:
    """Also when somebody wrote the status past the work API; to say so again is no error."""
    worker = Task.objects.create(name="import")
    worker.start()
    Task.objects.update(status="cancelled")
    with pytest.raises(TaskCancelled):
        worker.report(1)
    worker.cancel()
    assert len(journal()) == 3


def test_complete_and_fail_tell_why(engine: str) -> None:
    """A result, or an error for the owner and a traceback that no event carries."""
    done = Task.objects.create(name="import")
    done.start()
    done.complete(result={"rows": 3})
    assert (journal()[-1].data["result"], journal()[-1].data["progress"]) == ({"rows": 3}, 100)
    failed = Task.objects.create(name="import")
    failed.start()
    failed.fail("no such file", traceback="Traceback: for staff")
    assert journal()[-1].data["error"] == "no such file"
    assert "staff" not in str(journal()[-1])
    assert Task.objects.get(pk=failed.pk).traceback == "Traceback: for staff"


@pytest.mark.requirement("T4")
def test_of_an_exception_the_owner_is_told_its_kind(engine: str) -> None:
    """What it says, and where it was raised, may not be for him: that is in the traceback, for staff."""
    task = Task.objects.create(name="import", status="running")
    try:
        raise FileNotFoundError("/home/ann/salaries.csv")
    except FileNotFoundError as error:
        task.fail(error)
    assert journal()[-1].data["error"] == "The work ended with FileNotFoundError."
    assert "salaries" not in str(journal()[-1])
    stored = Task.objects.get().traceback
    assert stored.startswith("Traceback (most recent call last)")
    assert "/home/ann/salaries.csv" in stored
    other = Task.objects.create(name="import", status="running")
    other.fail(InvalidValue(message="progress is a number from 0 to 100."))
    assert journal()[-1].data["error"] == "progress is a number from 0 to 100."


def test_report_says_what_and_how_far(engine: str) -> None:
    """Percent, counts, phase and message are one event; the instance has them too."""
    task = Task.objects.create(name="import", status="running")
    task.report(done=3, total=12, phase="reading", message="row 3")
    for source in (task, Task.objects.get()):
        values = (source.done, source.total, source.progress, source.phase, source.message)
        assert values == (3, 12, 25, "reading", "row 3")
    assert len(journal()) == 2
    task.report(done=3)
    assert len(journal()) == 2


def test_the_work_api_builds_on_the_row_as_it_is(engine: str) -> None:
    """What others changed meanwhile stays, and what the worker has not saved stays unsaved."""
    worker = Task.objects.create(name="import", status="running")
    worker.name = "unsaved"
    Task.objects.update(message="from outside")
    worker.report(5)
    assert (worker.message, worker.name, worker.version) == ("from outside", "unsaved", 3)
    assert Task.objects.get().name == "import"
    worker.save()
    assert Task.objects.get().name == "unsaved"


@pytest.mark.usefixtures("engine", "own_connections")
async def test_async_twins() -> None:
    """Each call has a twin with an ``a`` before its name, which does the same."""
    task = await Task.objects.acreate(name="import")
    await task.astart()
    await task.areport(done=1, total=4, phase="reading")
    assert (await Task.objects.aget()).progress == 25
    await task.alog("row 1", level="debug")
    assert (await task.lines.aget()).level == "debug"
    await task.acomplete(result=[1])
    assert (await Task.objects.aget()).result == [1]
    failing = await Task.objects.acreate(name="import")
    await failing.afail("disk full", traceback="secret")
    assert (await Task.objects.aget(pk=failing.pk)).error == "disk full"
    with pytest.raises(IllegalTransition):
        await failing.acancel()
    cancelled = await Task.objects.acreate(name="import")
    await cancelled.astart()
    await (await Task.objects.aget(pk=cancelled.pk)).acancel()
    with pytest.raises(TaskCancelled):
        await cancelled.areport(50)
    await cancelled.acancel()
    assert {task.status async for task in Task.objects.all()} == FINAL
