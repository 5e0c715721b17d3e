"""The lease of a running task: who takes one, what renews it, and that nobody hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.exceptions import IllegalTransition
from realtime.leases import WORKER_LOST
from realtime.models import Event, Task, lease
from tests.leasing import end_renewals
from tests.throttled import stored

pytestmark = pytest.mark.requirement("T9")


@pytest.fixture(autouse=True)
def every_report_is_written(settings: Any) -> Iterator[None]:
    """No interval between two reports; afterwards nothing is renewed any more."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}
    yield
    end_renewals()


@pytest.fixture
def task(engine: str) -> Task:
    """A task that this process works on."""
    task = Task.objects.create(name="import")
    task.start()
    return task


def left(task: Task) -> float:
    """Seconds that are left of the row's lease."""
    expires = stored(task).lease_expires_at
    assert expires is not None
    return float((expires - timezone.now()).total_seconds())


def run_down(task: Task, seconds: float = 20) -> datetime:
    """Let so much of the lease be left, as if time had passed; return its end."""
    end = timezone.now() + timedelta(seconds=seconds)
    models.QuerySet(Task, using=task._state.db).filter(pk=task.pk).update(lease_expires_at=end)
    return end


def statements(work: Callable[[], object], using: str) -> int:
    """How many statements it takes."""
    with CaptureQueriesContext(connections[using]) as queries:
        work()
    return len(queries)


def test_start_takes_a_lease(task: Task) -> None:
    """Of LEASE_SECONDS from now."""
    assert 55 < left(task) <= 60


async def test_astart_takes_a_lease(engine: str) -> None:
    """From async code as well."""
    task = await Task.objects.acreate(name="import")
    await task.astart()
    assert (await Task.objects.aget(pk=task.pk)).lease_expires_at is not None
    await sync_to_async(connections.close_all)()


def saved() -> None:
    """Set a task running by a plain save."""
    task = Task.objects.create(name="import")
    task.status = "running"
    task.save()


def bulk_updated() -> None:
    """Set a task running by `bulk_update`."""
    task = Task.objects.create(name="import")
    task.status = "running"
    Task.objects.bulk_update([task], ["status"])


@pytest.mark.parametrize(
    "run",
    [
        saved,
        bulk_updated,
        lambda: (Task.objects.create(name="import"), Task.objects.update(status="running")),
        lambda: Task.objects.create(name="import", status="running"),
        lambda: Task.objects.bulk_create([Task(name="import", status="running")]),
    ],
    ids=["save", "bulk_update", "update", "create", "bulk_create"],
)
def test_work_that_is_only_told_of_has_no_lease(engine: str, run: Callable[[], object]) -> None:
    """Whoever sets the status himself answers for it himself; a report takes none either."""
    run()
    task = Task.objects.get()
    assert (task.status, task.lease_expires_at) == ("running", None)
    task.report(50)
    assert (stored(task).progress, stored(task).lease_expires_at) == (50, None)


def test_a_report_renews_a_lease_that_runs_down(task: Task, engine: str) -> None:
    """By the statement that writes the report: it costs none of its own."""
    task.report(1)
    end = stored(task).lease_expires_at
    usual = statements(lambda: task.report(2), engine)
    assert stored(task).lease_expires_at == end, "a lease that is young is left alone"
    run_down(task)
    assert statements(lambda: task.report(3), engine) == usual
    assert left(task) > 55


def test_a_renewal_is_no_event(task: Task, engine: str) -> None:
    """Neither by the thread nor by a report that says nothing new: same version, empty log."""
    task.report(50)
    row, events = stored(task), Event.objects.count()
    for renew in (lambda: task.report(50), lambda: lease.renew(Task, [task.pk], engine)):
        run_down(task)
        renew()
        assert left(task) > 55
    assert (stored(task).version, stored(task).updated_at) == (row.version, row.updated_at)
    assert Event.objects.count() == events
    assert "lease" not in str(list(Event.objects.values_list("data", flat=True)))


def test_a_save_of_the_worker_renews_one_of_others_does_not(task: Task) -> None:
    """Who renames somebody's task is no sign that its worker lives."""
    end = run_down(task)
    other = stored(task)
    other.name = "renamed"
    other.save()
    assert stored(task).lease_expires_at == end
    task.message = "row 3"
    task.save()
    assert left(task) > 55


def test_an_older_instance_does_not_take_a_renewal_back(task: Task, engine: str) -> None:
    """The thread renews behind the instance's back; its next save leaves that alone."""
    run_down(task)
    lease.renew(Task, [task.pk], engine)
    end = stored(task).lease_expires_at
    task.message = "row 3"
    task.save()
    assert stored(task).lease_expires_at == end


@pytest.mark.parametrize(
    "finish",
    [
        lambda task: task.complete(),
        lambda task: task.fail("disk full"),
        lambda task: (task.cancel(), task.cancel()),
        lambda task: (setattr(task, "status", "completed"), task.save()),
        lambda task: Task.objects.update(status="cancelled"),
    ],
    ids=["complete", "fail", "cancel", "save", "update"],
)
def test_a_finished_task_has_no_lease(task: Task, engine: str, finish: Callable[[Task], Any]) -> None:
    """Whichever way it ended; and no renewal that comes late gives it one."""
    finish(task)
    assert stored(task).finished_at is not None
    assert lease.renew(Task, [task.pk], engine) == 0
    assert stored(task).lease_expires_at is None


@pytest.mark.requirement("K14")
@pytest.mark.requirement("T1")
@pytest.mark.parametrize("call", ["report", "complete", "fail", "cancel", "start", "save"])
def test_a_worker_that_comes_back_late_changes_nothing(task: Task, engine: str, call: str) -> None:
    """Its task was marked meanwhile, and final is final: it is told, row and log stay."""
    Task.objects.update(status="failed", error=WORKER_LOST)
    row, events = stored(task), Event.objects.count()
    task.message = "I am still here" if call == "save" else ""
    with pytest.raises(IllegalTransition):
        getattr(task, call)(*([50] if call == "report" else []))
    assert lease.renew(Task, [task.pk], engine) == 0
    assert stored(task).differences(row) == set()
    assert Event.objects.count() == events


def test_a_start_that_was_rolled_back_takes_none(engine: str) -> None:
    """Row and lease are as before, nothing is renewed, and the task can be started again."""
    task = Task.objects.create(name="import")
    with transaction.atomic(using=engine):
        task.start()
        transaction.set_rollback(True, using=engine)
    assert lease.renew(Task, [task.pk], engine) == 0
    assert (stored(task).status, stored(task).lease_expires_at) == ("pending", None)
    task.start()
    assert left(task) > 55


def test_another_try_begins_without_a_lease(task: Task) -> None:
    """A retry waits for its own worker."""
    task.fail(WORKER_LOST)
    again = task.retry()
    assert (stored(again).status, stored(again).lease_expires_at) == ("pending", None)
