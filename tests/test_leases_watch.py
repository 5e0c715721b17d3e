"""A task whose lease has ended is marked as failed: once, and only when its worker could have renewed it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connections, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime import database, log
from realtime.hub import Hub
from realtime.leases import WORKER_LOST, Watch, expire
from realtime.models import Event, Task, lease
from tests.kit.threads import in_thread, open_transaction, together
from tests.kit.waiting import aeventually, eventually
from tests.leasing import end_renewals

pytestmark = [pytest.mark.requirement("T9"), pytest.mark.requirement("K14")]

HALF = 0.5


@pytest.fixture(autouse=True)
def short(settings: Any) -> Iterator[None]:
    """A lease of a second, and hubs that look all the time."""
    settings.REALTIME = {"LEASE_SECONDS": 2 * HALF, "LOG_CHECK_INTERVAL": 0.02}
    yield
    end_renewals()


def abandoned(name: str = "import") -> Task:
    """A running task that nobody works on any more."""
    task = Task.objects.create(name=name)
    task.start()
    return Task.objects.get(pk=task.pk)


def set_end(task: Task, end: datetime) -> None:
    """Let the lease end then."""
    models.QuerySet(Task, using=task._state.db).filter(pk=task.pk).update(lease_expires_at=end)


def long_gone(name: str = "import") -> Task:
    """A task whose lease ended an hour ago."""
    task = abandoned(name)
    set_end(task, timezone.now() - timedelta(hours=1))
    return task


def status(task: Task) -> str:
    """The row's status."""
    return str(Task.objects.get(pk=task.pk).status)


def failures() -> int:
    """How many events tell of a failure."""
    return int(Event.objects.filter(data__status="failed").count())


def pass_by(seconds: float) -> None:
    """Let time pass: nothing else would happen meanwhile."""
    begun = time.monotonic()
    eventually(lambda: time.monotonic() >= begun + seconds)


def test_it_is_marked_as_its_lease_ends(engine: str, settings: Any) -> None:
    """By whoever has watched it: with a clear error, one event, and not half a lease later."""
    settings.REALTIME = {"LEASE_SECONDS": 2}
    task, watch = abandoned(), Watch()
    end = task.lease_expires_at
    eventually(lambda: watch.look(), interval=0.02)
    row = Task.objects.get(pk=task.pk)
    assert (row.status, row.error, row.lease_expires_at) == ("failed", WORKER_LOST, None)
    assert timedelta() <= row.finished_at - end < timedelta(seconds=1)
    last = Event.objects.latest("id").data
    assert (last["status"], last["error"], last["version"]) == ("failed", WORKER_LOST, row.version)
    assert failures() == 1
    assert watch.look() == 0


def test_a_task_without_a_lease_is_left_alone(engine: str) -> None:
    """Pending, finished, or running by somebody's own word."""
    tasks = [Task.objects.create(name="import", status=s) for s in ("pending", "running", "completed")]
    watch = Watch()
    for _ in range(3):
        assert watch.look() == 0
        pass_by(HALF / 2)
    assert [status(task) for task in tasks] == ["pending", "running", "completed"]


def test_who_has_just_started_watches_first(engine: str) -> None:
    """Processes and database may come back together: a worker that lives must be able to renew."""
    task, watch = long_gone(), Watch()
    assert watch.look() == 0
    assert watch.undecided
    lease.renew(Task, [task.pk], engine)
    pass_by(HALF * 0.6)
    assert watch.look() == 0
    assert not watch.undecided
    assert status(task) == "running"


def test_machines_need_not_agree_on_the_time(engine: str) -> None:
    """Leases that seem to have ended, but are renewed, are those of a clock that is behind."""
    task, watch = long_gone(), Watch()
    until = time.monotonic() + 4 * HALF
    while time.monotonic() < until:
        set_end(task, timezone.now() - timedelta(hours=1))
        assert watch.look() == 0
        pass_by(HALF / 5)
    assert eventually(lambda: watch.look()) == 1


def test_after_an_outage_the_watch_begins_again(engine: str) -> None:
    """Nobody could renew while the database was away."""
    task, watch = long_gone(), Watch()
    watch.look()
    with connections[engine].cursor() as cursor:
        cursor.execute("ALTER TABLE realtime_task RENAME TO realtime_task_away")
        try:
            pass_by(HALF)
            with pytest.raises(DatabaseError):
                watch.look()
        finally:
            cursor.execute("ALTER TABLE realtime_task_away RENAME TO realtime_task")
    assert watch.look() == 0
    assert status(task) == "running"
    assert eventually(lambda: watch.look()) == 1


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_task_in_its_workers_transaction_is_not_dead(engine: str) -> None:
    """Nobody can renew a locked row; the others are marked meanwhile, and nobody waits."""
    busy, dead, watch = long_gone("busy"), long_gone("dead"), Watch()
    with open_transaction(engine, lambda: Task.objects.select_for_update().get(pk=busy.pk)):
        assert eventually(lambda: watch.look()) == 1
        pass_by(HALF)
        assert watch.look() == 0
    assert (status(dead), status(busy)) == ("failed", "running")
    assert watch.look() == 0, "now that the lock is gone, its worker may renew"
    assert eventually(lambda: watch.look()) == 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_long_writer_on_sqlite_kills_nobody(engine: str) -> None:
    """Who waits for the one write lock knows that whoever would renew waited as well."""
    task, watch = long_gone(), Watch()
    watch.look()
    pass_by(HALF)
    with open_transaction(engine, lambda: Task.objects.create(name="another")) as commit:
        looking = in_thread(watch.look)
        pass_by(HALF)
        assert not looking.done()
        commit()
        assert looking.result(20) == 0
    assert watch.look() == 0
    assert status(task) == "running"
    assert eventually(lambda: watch.look()) == 1


def test_whoever_looks_it_is_one_event(engine: str) -> None:
    """Eight race for several tasks: each task is marked once."""
    tasks = [long_gone(f"import {number}") for number in range(5)]
    done = Task.objects.filter(status="failed")

    def look_on() -> int:
        watch, marked = Watch(), 0
        while done.count() < len(tasks):
            marked += watch.look()
        return marked

    assert sum(together(*[look_on] * 8)) == len(tasks)
    assert failures() == len(tasks)
    assert {task.version for task in done} == {tasks[0].version + 1}


async def test_two_hubs_mark_it_once(engine: str, hubs: Callable[..., Awaitable[Hub]]) -> None:
    """The server processes do it by themselves, and each has the event."""
    task = await database.run(abandoned)
    both = [await hubs(), await hubs()]
    await aeventually(lambda: database.run(lambda: status(task) == "failed"))
    await database.run(log.sequence)
    last = await database.run(log.position)
    await aeventually(lambda: all(hub.position >= last for hub in both))
    assert await database.run(failures) == 1


def test_it_costs_one_query_by_its_index(engine: str) -> None:
    """Every process asks every second: as long as nothing is overdue, that is all."""
    Task.objects.bulk_create([Task(name="import", status="running") for _ in range(500)])
    task = abandoned()
    set_end(task, timezone.now() + timedelta(hours=1))
    with connections[engine].cursor() as cursor:
        cursor.execute("ANALYZE realtime_task")
        with CaptureQueriesContext(connections[engine]) as queries:
            assert Watch().look() == 0
        (asked,) = queries.captured_queries
        plan = "EXPLAIN QUERY PLAN" if engine == "default" else "EXPLAIN"
        cursor.execute(f"{plan} {asked['sql']}")
        assert "realtime_task_lease" in str(cursor.fetchall())


def test_the_command_marks_where_no_server_runs(engine: str, settings: Any) -> None:
    """Run from a timer: it is done at once unless a lease has ended, and then watches it first."""
    brief, settings.REALTIME = settings.REALTIME, {"LEASE_SECONDS": 60}
    young = Task.objects.create(name="young")
    young.start()
    begun = time.monotonic()
    assert expire() == 0
    assert time.monotonic() - begun < 20  # to watch one takes thirty seconds
    settings.REALTIME = brief
    task, out = long_gone(), StringIO()
    call_command("expire_leases", stdout=out)
    assert out.getvalue() == "1 tasks marked as failed.\n"
    assert (status(task), status(young)) == ("failed", "running")
