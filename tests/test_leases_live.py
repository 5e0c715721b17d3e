"""Real workers killed in the middle of their work: people see it, once; who lives keeps his task."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from realtime.leases import WORKER_LOST
from tests.flows import Live, Person, told
from tests.kit.process import Child
from tests.kit.remote import Remote
from tests.kit.site import Site
from tests.kit.waiting import aeventually, eventually

pytestmark = [pytest.mark.requirement("T9"), pytest.mark.requirement("K14")]

LEASE, LOOK = 2.0, 0.1
#: What a busy machine may take for a look, a commit and a frame.
SLACK = 3.0

WORK = """
import time
task = Task.objects.get(pk=pk)
task.start()
task.report(10)
"""
SILENCE = "time.sleep(seconds)\n"


SITES = {"sqlite": "uvicorn", "postgres": "daphne"}
#: Where the database and the server make no difference.
once = pytest.mark.parametrize("live", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=SITES)
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    """A server with short leases; two on PostgreSQL, which race to tell of a dead worker."""
    engine = request.param
    settings = {"LEASE_SECONDS": LEASE, "LOG_CHECK_INTERVAL": LOOK, "PROGRESS_INTERVAL": 0}
    with Site(engine, settings=settings) as site:
        servers = [site.start(SITES[engine]) for _ in range(2 if engine == "postgres" else 1)]
        site.create_user("first")
        for server in servers:
            # A server follows the log, and looks at leases, from its first client on.
            headers = {"Authorization": f"Bearer {site.token('first')}"}
            with httpx.stream("GET", f"{server.url}/events", headers=headers, trust_env=False) as stream:
                assert "connected" in next(stream.iter_text())
        yield Live(site, servers[0])


async def row(live: Live, task_id: str) -> dict[str, Any]:
    """What the database holds of a task."""
    fields = ["status", "error", "progress", "version", "lease_expires_at"]
    found: dict[str, Any] = await live.run(
        "Task.objects.filter(pk=pk).values(*fields).get()", pk=task_id, fields=fields
    )
    return found


async def failures(live: Live, task_id: str) -> int:
    """How many events tell that it failed."""
    code = "Event.objects.filter(task_id=pk, data__status='failed').count()"
    return int(await live.run(code, pk=task_id))


async def at_work(live: Live, person: Person, code: str, **names: Any) -> tuple[str, Remote]:
    """A worker process of its own in the middle of a task of that person's."""
    task_id = await live.task(person)
    worker = live.site.remote(f"worker of {task_id}")
    worker.submit(WORK + code, pk=task_id, **names)
    return task_id, worker


async def test_a_killed_worker_is_seen_within_its_lease(live: Live) -> None:
    """kill -9 in the middle of a silent stretch: over both transports the failure, once, with its reason."""
    person = await live.person()
    task_id, worker = await at_work(live, person, SILENCE, seconds=60)
    clients = [await live.watching(person, task_id=task_id), await live.stream(person, task_ids=[task_id])]
    await aeventually(lambda: _has(live, task_id, progress=10))
    worker.kill()
    killed = time.monotonic()
    for client in clients:
        frame = await told(client, "task_update", lambda frame: frame["data"]["status"] == "failed")
        assert (frame["data"]["error"], frame["data"]["progress"]) == (WORKER_LOST, 10)
        assert "lease" not in str(frame)
        await told(client, "done")
    assert time.monotonic() - killed < LEASE + LOOK + SLACK
    for client in clients:
        await client.close()
    assert await failures(live, task_id) == 1


@once
async def test_a_slow_worker_that_lives_keeps_its_task(live: Live) -> None:
    """It says nothing for longer than a lease, and finishes as if nothing had been."""
    person = await live.person()
    task_id = await live.task(person)
    code = WORK + SILENCE + "task.complete(result=3)\ntask.status"
    assert await live.run(code, pk=task_id, seconds=1.5 * LEASE) == "completed"
    assert await failures(live, task_id) == 0
    assert (await row(live, task_id))["lease_expires_at"] is None


async def test_a_worker_that_comes_back_late_is_refused(live: Live) -> None:
    """A whole machine was asleep; its task was given up. It is told at once, and changes nothing."""
    person = await live.person()
    code = "while not Task.objects.filter(pk=pk, status='failed').exists(): time.sleep(0.1)\n"
    code += "[_try(task.report, 50), _try(task.complete), _try(task.fail, 'x')]"
    refused = (
        "from realtime.exceptions import IllegalTransition\n"
        "def _try(call, *arguments):\n"
        "    try:\n"
        "        call(*arguments)\n"
        "    except IllegalTransition as error:\n"
        "        return str(error)\n"
    )
    task_id, worker = await at_work(live, person, refused + code)
    await aeventually(lambda: _has(live, task_id, progress=10))
    worker.child.pause()
    try:
        await aeventually(lambda: _has(live, task_id, status="failed"))
        before = await row(live, task_id)
    finally:
        worker.child.resume()
    answers = worker.result()
    assert all(answer and "failed task" in answer for answer in answers), answers
    assert await row(live, task_id) == before
    assert await failures(live, task_id) == 1


@once
async def test_a_job_that_ended_with_an_exception_is_seen_too(live: Live) -> None:
    """Its process lives on and does other things; nobody has the task's instance any more."""
    person = await live.person()
    code = WORK.replace("\n", "\n    ") + "\n    raise OSError('disk full')"
    work = f"def job(pk):{code}\ntry:\n    job(pk)\nexcept OSError:\n    pass\n"
    task_id = await live.task(person)
    await live.run(work, pk=task_id)
    await aeventually(lambda: _has(live, task_id, status="failed", error=WORKER_LOST))
    assert await failures(live, task_id) == 1


@once
async def test_the_demonstrations_worker_is_no_exception(live: Live) -> None:
    """Killed in the middle of a job: its task fails, those it finished stay as they are."""
    person = await live.person()
    command = [sys.executable, "manage.py", "demo_worker", "--owner", person.name, "--seconds", "20"]
    running = "Task.objects.filter(owner_id=owner, status='running', done__gt=0).exists()"
    with Child(command, live.site.folder / "demo-worker.log", live.site.env, warm=True) as worker:
        await aeventually(lambda: live.run(running, owner=person.id), timeout=60, message=worker.log)
        worker.kill()
    ends = "list(Task.objects.filter(owner_id=owner).values_list('status', 'error'))"

    async def failed() -> bool:
        return bool(await live.run(ends, owner=person.id) == [["failed", WORKER_LOST]])

    await aeventually(failed)


def test_without_a_server_the_command_does_it() -> None:
    """Run from a timer, where nothing but workers runs."""
    with Site("sqlite", settings={"LEASE_SECONDS": 1}) as site:
        worker = site.remote("doomed")
        worker.run("task = Task.objects.create(name='import')\ntask.start()")
        worker.kill()
        ended = "Task.objects.filter(lease_expires_at__lt=timezone.now()).exists()"
        eventually(lambda: site.remote().run("from django.utils import timezone\n" + ended))
        assert site.manage("expire_leases") == "1 tasks marked as failed.\n"
        code = "list(Task.objects.values_list('status', 'error'))"
        assert site.remote().run(code) == [["failed", WORKER_LOST]]


async def _has(live: Live, task_id: str, **values: Any) -> bool:
    found = await row(live, task_id)
    return all(found[name] == value for name, value in values.items())
