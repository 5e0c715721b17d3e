"""The demonstration's worker: each job becomes a task that ends as the job did."""

import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from project.demo import library
from project.demo.jobs import JOBS, Job, Step, Work
from project.demo.worker import Worker
from realtime.models import Task
from tests.kit.process import Child
from tests.kit.site import CommandFailed, Site
from tests.kit.waiting import eventually


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site on PostgreSQL in which the worker has done one quick round for the user `demo`."""
    # Every job lasts several such intervals, so that a report is written after it was called off.
    with Site(database="postgres", settings={"PROGRESS_INTERVAL": 0.02}) as site:
        site.create_user("demo")
        site.manage("demo_worker", "--once", "--seconds", "0.2")
        yield site


def tasks(site: Site, *fields: str) -> list[dict[str, Any]]:
    """These fields of the tasks of the round, oldest first."""
    code = "list(Task.objects.filter(owner__username='demo').order_by('created_at').values(*fields))"
    found: list[dict[str, Any]] = site.remote().run(code, fields=fields)
    return found


def test_a_round_ends_as_it_should(site: Site) -> None:
    """Four jobs complete, the bad inventory fails, the last one is called off."""
    ends = [(row["name"], row["status"]) for row in tasks(site, "name", "status")]
    statuses = [*["completed"] * 4, "failed", "cancelled"]
    assert ends == list(zip([job.name for job in JOBS], statuses, strict=True))


def test_results_and_errors_are_those_of_the_jobs(site: Site) -> None:
    """A completed task carries what its job returned; a failed one says what is wrong, in words."""
    checksums, archive, imported, lines, failed, cancelled = tasks(site, "result", "error", "progress")
    files = len(library.files())
    assert checksums["result"]["files"] == imported["result"]["rows"] == files
    assert archive["result"]["files"] == len(library.sources())
    assert f"Line {files * 2 // 3}, column “size”:" in failed["error"]
    assert "Traceback" not in failed["error"]
    assert {*lines["result"][0]} == {"package", "files", "lines"}
    assert [row["progress"] for row in (checksums, archive, imported)] == [100, 100, 100]
    assert 50 <= cancelled["progress"] < 100
    assert cancelled["result"] is None


def test_a_failed_task_keeps_its_traceback_from_its_events(site: Site) -> None:
    """The traceback is in the row, for staff, and in nothing that clients are sent."""
    code = "Task.objects.get(status='failed').traceback, [e.data for e in Event.objects.all()]"
    traceback, events = site.remote().run(code)
    assert "BadRow" in traceback
    assert "Traceback" not in str(events)


@pytest.mark.requirement("T10")
def test_the_log_tells_each_task_from_waiting_to_its_end(site: Site) -> None:
    """Events begin with pending and running, progress never falls, the request to cancel is one."""
    code = "[e.data for e in Event.objects.filter(task_id=pk, kind='task_update').order_by('position')]"
    for row in tasks(site, "id", "status"):
        events = site.remote().run(code, pk=row["id"])
        statuses = [event["status"] for event in events]
        assert statuses[:2] == ["pending", "running"]
        assert statuses[2:] == ["running"] * (len(statuses) - 3) + [row["status"]]
        assert all(one["progress"] <= two["progress"] for one, two in pairwise(events))
        asked = [event["status"] for event in events if event["cancel_requested_at"]]
        assert asked[-1:] == (["cancelled"] if row["status"] == "cancelled" else [])


@pytest.mark.requirement("T10")
def test_sigterm_ends_the_worker_at_once_and_cancels_its_task(site: Site) -> None:
    """Told to stop in the middle of a long job, it says so in the task and leaves."""
    site.create_user("stopped")
    command = ["manage.py", "demo_worker", "--owner", "stopped", "--seconds", "60"]
    moving = "Task.objects.filter(owner__username='stopped', status='running', done__gt=0).exists()"
    with Child([sys.executable, *command], site.folder / "worker.log", site.env, warm=True) as worker:
        eventually(lambda: site.remote().run(moving), timeout=60, message=worker.log)
        started = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - started < 10  # the job itself would last longer
    code = "list(Task.objects.filter(owner__username='stopped').values_list('status', 'progress'))"
    ((status, progress),) = site.remote().run(code)
    assert status == "cancelled"
    assert progress < 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--owner", "nobody"], "No user 'nobody': run manage.py demo_users first."),
        (["--seconds", "0"], "--seconds: must be more than 0"),
    ],
)
def test_what_it_cannot_do_it_says(site: Site, arguments: list[str], words: str) -> None:
    """An owner who is not there, or a pace that is none, ends it with a clear error."""
    with pytest.raises(CommandFailed, match=words) as caught:
        site.manage("demo_worker", *arguments)
    assert "Traceback" not in str(caught.value)


def counting(meanwhile: Callable[[], object] = lambda: None) -> Work:
    """A small job in ten steps; something happens after the first."""
    for done in range(1, 11):
        yield Step(done, 10, "Counting", str(done))
        if done == 1:
            meanwhile()
    return {"counted": 10}


def job(name: str, meanwhile: Callable[[], object] = lambda: None) -> Job:
    """That job, whose task is called so."""
    return Job("counting", name, lambda: counting(meanwhile))


@pytest.fixture
def worker(make_user: Callable[..., Any], settings: Any) -> Worker:
    """A worker in this process, whose every report is written."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}
    return Worker(make_user(), seconds=0.01, keep=2)


@pytest.mark.requirement("T10")
def test_a_task_that_somebody_cancels_stops_at_its_next_report(worker: Worker) -> None:
    """The owner's wish reaches the worker at its next report; the next job is done as usual."""

    def cancel() -> None:
        Task.objects.get(name="unwanted").cancel()

    worker.run([job("unwanted", cancel), job("wanted")])
    ends = Task.objects.order_by("created_at").values_list("name", "status", "done")
    assert list(ends) == [("unwanted", "cancelled", 2), ("wanted", "completed", 10)]


def test_a_task_that_is_deleted_meanwhile_ends_its_job_only(worker: Worker) -> None:
    """Nothing is left to tell of the deleted task; the worker goes on."""

    def delete() -> None:
        Task.objects.get(name="unwanted").delete()

    worker.run([job("unwanted", delete), job("wanted")])
    assert list(Task.objects.values_list("name", "status")) == [("wanted", "completed")]


def test_it_keeps_the_last_tasks_of_its_own_and_all_others(
    worker: Worker, make_user: Callable[..., Any]
) -> None:
    """Old tasks of the demonstration go; other names, and other people's tasks, stay."""
    name = JOBS[0].name
    Task.objects.create(name="my own", owner=worker.owner)
    Task.objects.create(name=name, owner=make_user())
    worker.run([job(name)] * 4)
    assert Task.objects.filter(owner=worker.owner, name=name).count() == 2
    assert Task.objects.count() == 4
