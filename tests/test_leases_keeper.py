"""The thread that renews leases: for as long as somebody works, and no longer."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from realtime.models import Event, Task, lease
from tests.kit.site import Site
from tests.kit.threads import open_transaction
from tests.kit.waiting import eventually
from tests.leasing import end_renewals, renewers

pytestmark = pytest.mark.requirement("T9")


@pytest.fixture(autouse=True)
def short(settings: Any) -> Iterator[None]:
    """A lease of a second; afterwards the thread has ended, and its connection with it."""
    settings.REALTIME = {"LEASE_SECONDS": 1}
    end_renewals()
    yield
    end_renewals()
    eventually(lambda: renewers() == 0)


def started(name: str = "import") -> Task:
    """A task that whoever holds the instance works on."""
    task = Task.objects.create(name=name)
    task.start()
    return task


def end_of(pk: Any) -> Any:
    """The end of the row's lease."""
    return Task.objects.get(pk=pk).lease_expires_at


def renewed(pk: Any, times: int = 1) -> None:
    """Wait until the lease has been renewed so often."""
    for _ in range(times):
        end = end_of(pk)
        eventually(lambda end=end: end_of(pk) > end)


def test_a_silent_worker_keeps_its_lease(engine: str) -> None:
    """It need not report: it lives. Nobody hears of it."""
    task = started()
    events = Event.objects.count()
    renewed(task.pk, times=4)
    assert (Task.objects.get().version, Event.objects.count()) == (task.version, events)


def test_one_thread_renews_for_the_whole_process(engine: str) -> None:
    """However many tasks it works on; it ends when the last is finished."""
    tasks = [started(f"import {number}") for number in range(20)]
    assert renewers() == 1
    first = max(task.lease_expires_at for task in tasks)
    eventually(lambda: Task.objects.filter(lease_expires_at__gt=first).count() == len(tasks))
    for task in tasks:
        task.complete()
    eventually(lambda: renewers() == 0)


@pytest.mark.parametrize("reported", [False, True], ids=["silent", "reported"])
def test_who_drops_the_instance_gives_up_the_lease(engine: str, reported: bool) -> None:
    """As a job does that ends with an exception in a worker process that lives on."""

    def work(task: Task) -> None:
        if reported:
            task.report(50)
        raise OSError("disk full")

    task = started()
    pk = task.pk
    gc.disable()
    try:
        with pytest.raises(OSError, match="disk full") as caught:
            work(task)
        del task, caught
        eventually(lambda: renewers() == 0)
    finally:
        gc.enable()
    assert Task.objects.get(pk=pk).status == "running"


def test_an_instance_that_reports_keeps_the_lease(engine: str) -> None:
    """Where one function starts the task and another does the work."""
    pk = started().pk
    task = Task.objects.get(pk=pk)
    task.report(10)
    eventually(lambda: renewers() == 1)
    renewed(task.pk, times=3)


def test_a_database_that_was_away_is_asked_again(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    """Said once; as soon as it is back, the leases are renewed."""
    task = started()
    with connections[engine].cursor() as cursor:
        cursor.execute("ALTER TABLE realtime_task RENAME TO realtime_task_away")
        try:
            failing = eventually(lambda: lease._keeper._failing)
        finally:
            cursor.execute("ALTER TABLE realtime_task_away RENAME TO realtime_task")
    assert failing
    renewed(task.pk)
    assert caplog.text.count("could not be renewed") == 1


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_long_transaction_holds_up_its_own_task_only(engine: str) -> None:
    """Its worker has locked the row; the others are renewed, and it is when the lock is gone."""
    busy, other = started("busy"), started("other")
    end = end_of(busy.pk)
    with open_transaction(engine, lambda: Task.objects.select_for_update().get(pk=busy.pk)):
        renewed(other.pk, times=3)
        assert end_of(busy.pk) == end
    renewed(busy.pk)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site with short leases."""
    with Site("sqlite", settings={"LEASE_SECONDS": 1}) as site:
        yield site


FORK = """
import os
from django.db import connections
from tests.kit.waiting import eventually
from tests.leasing import end_renewals, renewers
parents = Task.objects.create(name="the parent's")
parents.start()
connections.close_all()
child = os.fork()
if not child:
    try:
        task = Task.objects.create(name="the child's")
        task.start()
        first = task.lease_expires_at
        eventually(lambda: Task.objects.get(pk=task.pk).lease_expires_at > first)
        parents.report(50)
        os._exit(0)
    finally:
        os._exit(1)
os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def test_a_forked_worker_renews_for_itself(site: Site) -> None:
    """Celery forks: the child does not rely on a thread that stayed in the parent."""
    assert site.remote("forking").run(FORK) == 0


def test_a_process_ends_at_once_though_it_holds_leases(site: Site) -> None:
    """The thread keeps nobody; the lease then ends by itself."""
    worker = site.remote("ending")
    worker.run("task = Task.objects.create(name='import')\ntask.start()")
    assert worker.stop() == 0


def test_a_started_task_can_be_handed_on(engine: str) -> None:
    """What renews it is not part of the instance: it can be pickled for another process."""
    task = started()
    assert pickle.loads(pickle.dumps(task)).lease_expires_at == task.lease_expires_at
