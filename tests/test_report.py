"""report(): at most one write per interval, and never a lost last value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from realtime.exceptions import InvalidValue, TaskCancelled
from realtime.models import Event, Task
from tests.kit.site import Site
from tests.kit.threads import in_thread
from tests.kit.waiting import eventually
from tests.throttled import SOON, interval, stored, task, timer

__all__ = ["interval", "task", "timer"]


def as_the_timer_does(task: Task) -> None:
    """Write what waits from another thread."""
    assert task._throttle is not None
    in_thread(task._throttle.flush).result(20)


def test_reports_within_the_interval_are_not_written(task: Task) -> None:
    """A hundred reports are one write."""
    for percent in range(1, 100):
        task.report(percent)
    assert (stored(task).progress, stored(task).version) == (1, 3)


def test_a_later_report_carries_what_was_not_written(task: Task, interval: Callable[[float], None]) -> None:
    """The first report after the interval brings every value that was reported meanwhile."""
    task.report(20, phase="reading")
    task.report(30)
    interval(0)
    task.report(message="row 3")
    row = stored(task)
    assert (row.progress, row.phase, row.message, row.version) == (30, "reading", "row 3", 4)


def test_the_timer_writes_the_last_value(task: Task, interval: Callable[[float], None]) -> None:
    """A worker that falls silent after a report is not shown with an older one for ever."""
    interval(SOON)
    for percent in (20, 30, 40):
        task.report(percent)
    eventually(lambda: stored(task).progress == 40)


@pytest.mark.parametrize(
    "finish",
    [
        lambda task: task.complete(),
        lambda task: task.fail("disk full"),
        lambda task: (task.cancel(), task.cancel()),
        lambda task: (setattr(task, "status", "failed"), task.save()),
    ],
    ids=["complete", "fail", "cancel", "plain-save"],
)
def test_the_terminal_change_carries_the_last_value(task: Task, finish: Callable[[Task], Any]) -> None:
    """The last event of a task tells the last thing its worker reported."""
    task.report(done=7, total=10, message="row 7")
    finish(task)
    last = Event.objects.latest("position").data
    assert last["status"] == stored(task).status != "running"
    assert (last["done"], last["total"], last["message"]) == (7, 10, "row 7")
    assert last["progress"] == (100 if last["status"] == "completed" else 70)


def test_a_terminal_change_that_fails_keeps_the_last_value(task: Task) -> None:
    """It goes with the next attempt."""
    task.report(done=7, total=10)
    with pytest.raises(InvalidValue):
        task.complete(result=float("nan"))
    assert stored(task).done == 0
    task.fail("no result")
    assert (stored(task).done, stored(task).progress) == (7, 70)


def test_a_bad_value_raises_at_once(task: Task) -> None:
    """Though nothing is written yet, the worker hears of its mistake where it made it."""
    for values in ({"progress": 101}, {"progress": float("nan")}, {"done": -1}, {"total": 1.5}):
        with pytest.raises(InvalidValue):
            task.report(**values)
    task.fail()
    assert (stored(task).progress, stored(task).done, stored(task).total) == (1, 0, None)


def test_inside_atomic_it_warns_once(task: Task, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody sees a report before the commit; then the last one is there."""
    with transaction.atomic(using=engine):
        for percent in (20, 30, 40):
            task.report(percent)
        assert in_thread(lambda: stored(task).progress).result(20) == 1
    assert stored(task).progress == 40
    assert caplog.text.count("inside atomic()") == 1


@pytest.mark.parametrize("finish", [False, True], ids=["report", "complete"])
def test_inside_atomic_the_timer_and_the_worker_do_not_lock_each_other_out(
    task: Task, engine: str, interval: Callable[[float], None], finish: bool
) -> None:
    """The timer waits for the row that the worker's transaction has locked; the worker goes on."""
    interval(0)
    task.report(1)
    interval(SOON)
    task.report(2)

    def work() -> None:
        with transaction.atomic(using=engine):
            Task.objects.update(message="locked")
            eventually(timer_waits)
            task.report(3)
            if finish:
                task.complete()

    def timer_waits() -> bool:
        began = task._throttle is not None and task._throttle._due_on is None
        if connections[engine].vendor == "sqlite":
            return began  # it shows nobody who waits
        with connections[engine].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    in_thread(work).result(15)
    eventually(lambda: stored(task).progress == (100 if finish else 3))
    assert stored(task).message == "locked"


def test_a_cancelled_task_raises_at_the_next_written_report(
    task: Task, interval: Callable[[float], None]
) -> None:
    """A report that only waits asks nobody; the first that is written learns of it."""
    Task.objects.get().cancel()
    task.report(2)
    interval(0)
    with pytest.raises(TaskCancelled):
        task.report(3)
    assert stored(task).progress == 1
    task.cancel()
    assert (stored(task).status, stored(task).progress) == ("cancelled", 3)


def test_a_cancel_that_the_timer_saw_reaches_the_worker(task: Task) -> None:
    """The worker hears of it at its next report, though that one would only wait."""
    Task.objects.get().cancel()
    task.report(2)
    as_the_timer_does(task)
    with pytest.raises(TaskCancelled):
        task.report(3)
    task.cancel()
    assert stored(task).status == "cancelled"


def test_a_value_that_the_timer_could_not_write_is_kept(
    task: Task, engine: str, interval: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    """When the database fails under the timer, it is said, and the next change carries the value."""
    interval(0)
    task.report(1)
    interval(SOON)
    with connections[engine].cursor() as cursor:
        cursor.execute("ALTER TABLE realtime_task RENAME TO realtime_task_away")
        try:
            task.report(50, message="half")
            eventually(lambda: "was not written" in caplog.text)
        finally:
            cursor.execute("ALTER TABLE realtime_task_away RENAME TO realtime_task")
    assert stored(task).progress == 1
    task.fail("disk full")
    assert (stored(task).progress, stored(task).message) == (50, "half")


def test_a_deleted_task_tells_its_worker(task: Task) -> None:
    """A report on a task that is gone raises DoesNotExist, also when the timer met it first."""
    Task.objects.all().delete()
    task.report(2)
    as_the_timer_does(task)
    with pytest.raises(Task.DoesNotExist):
        task.report(3)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site whose reports are far apart."""
    with Site("sqlite", settings={"PROGRESS_INTERVAL": 1}) as site:
        yield site


REPORT = """
task = Task.objects.create(name="import")
task.start()
task.report(10)
task.report(20)
"""
FORK = """
import os
from django.db import connections
from tests.kit.waiting import eventually
connections.close_all()
child = os.fork()
if not child:
    try:
        task.report(30)
        eventually(lambda: Event.objects.filter(data__progress=30).exists())
        os._exit(0)
    finally:
        os._exit(1)
os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_a_forked_worker_has_a_timer_of_its_own(site: Site) -> None:
    """Celery forks: the child's reports do not wait for a thread that stayed in the parent."""
    assert site.remote("forking").run(REPORT + FORK) == 0


def test_the_end_of_a_process_writes_what_waits(site: Site) -> None:
    """A worker that ends in order, without finishing its task, leaves its last value behind."""
    worker = site.remote("ending")
    worker.run(REPORT + "pk = str(task.pk)")
    pk = worker.run("pk")
    worker.stop()
    assert site.remote().run("Task.objects.get(pk=pk).progress", pk=pk) == 20


def test_the_end_of_a_process_does_not_wait_for_a_database_that_does_not_answer(site: Site) -> None:
    """It waits once, not for each task, and says which reports it gives up."""
    worker, locker = site.remote("held up"), site.remote("locker")
    later = "from django.conf import settings\nsettings.REALTIME['PROGRESS_INTERVAL'] = 3600\n"
    worker.run(f"{later}tasks = [Task.objects.create(name='import') for _ in range(3)]")
    worker.run("for task in tasks: task.start(); task.report(10)")
    locker.run("from django.db import connection\nconnection.cursor().execute('BEGIN IMMEDIATE')\nNone")
    worker.run("from realtime.models import throttle\nthrottle.FLUSH_SECONDS = 1")
    pks = worker.run("for task in tasks: task.report(20)\n[str(task.pk) for task in tasks]")
    assert worker.stop() == 0
    assert "Reports of 3 tasks were lost" in worker.log()
    assert all(pk in worker.log() for pk in pks)
    locker.run("connection.cursor().execute('ROLLBACK')\nNone")
