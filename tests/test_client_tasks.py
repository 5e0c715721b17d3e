"""The Python clients and tasks on real servers: wait, cancel, retry, lines, notices."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from realtime.client import (
    Broadcast,
    Denied,
    Event,
    NotFound,
    Overdue,
    Subscribed,
    SyncClient,
    TaskCancelled,
    TaskFailed,
    TaskLog,
    TaskUpdate,
)
from tests.flows import Live
from tests.following import DEADLINE, nothing_left, quick, site, until
from tests.kit.process import ROOT
from tests.kit.threads import in_thread
from tests.kit.waiting import aeventually, eventually

__all__ = ["nothing_left", "site"]


async def test_wait_returns_the_result(site: Live) -> None:
    """Of a task that ends meanwhile, and of one that has ended; also one too large for an event."""
    person = await site.person()
    task, large = await site.tasks(person, 2)
    async with quick(site, person) as client:
        waiting = asyncio.create_task(client.wait(task, timeout=DEADLINE))
        await aeventually(lambda: client._watches)
        await site.finish(task)
        assert await waiting == {"rows": 3}
        assert await client.wait(task, timeout=DEADLINE) == {"rows": 3}
        await site.run("t = Task.objects.get(pk=pk); t.start(); t.complete(result='x' * 100_000)", pk=large)
        assert await client.wait(large, timeout=DEADLINE) == "x" * 100_000


def test_wait_raises_what_became_of_the_task(site: Live) -> None:
    """Failed and cancelled with the task, deleted, unknown, and not in time."""
    person = asyncio.run(site.person())
    failed, cancelled, deleted, idle = asyncio.run(site.tasks(person, 4))
    code = "t = Task.objects.get(pk=pk); t.start(); t.fail(error='No such file.')"
    site.worker.run(code, pk=failed)
    with SyncClient(site.server.url, token=person.token) as client:
        with pytest.raises(TaskFailed, match="No such file") as caught:
            client.wait(failed, timeout=DEADLINE)
        assert (caught.value.code, caught.value.task.status) == ("task_failed", "failed")
        again = client.retry(failed)
        assert (again.retry_of, again.status) == (failed, "pending")
        assert client.cancel(cancelled).status == "cancelled"
        with pytest.raises(TaskCancelled) as stopped:
            client.wait(cancelled, timeout=DEADLINE)
        assert stopped.value.task.task_id == cancelled
        with pytest.raises(NotFound):
            client.wait(uuid.uuid4(), timeout=DEADLINE)
        with deleting(site, deleted, client), pytest.raises(NotFound, match="gone"):
            client.wait(deleted, timeout=DEADLINE)
        with pytest.raises(Overdue):
            client.wait(idle, timeout=0.5)
        listed = client.tasks(active=True)
        assert {task.task_id for task in listed} == {idle, again.task_id}
        assert client.task(idle).version == 1


@contextmanager
def deleting(live: Live, task: str, client: SyncClient) -> Iterator[None]:
    """Delete a task once the block waits for it."""

    def delete() -> None:
        eventually(lambda: any(watch._session.current for watch in [*client._client._watches]), DEADLINE)
        live.worker.run("Task.objects.get(pk=pk).delete()", pk=task)

    deleted = in_thread(delete)
    yield
    deleted.result(DEADLINE)


async def test_the_examples_of_the_documentation_work(site: Live) -> None:
    """As they stand there, both ways."""
    person = await site.person()
    done, failed = await site.tasks(person, 2)
    await site.finish(done)
    await site.run("t = Task.objects.get(pk=pk); t.start(); t.fail(error='Disk full.')", pk=failed)
    text = (ROOT / "docs" / "client.md").read_text()
    follow, wait = (example(code) for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert await follow(site.server.url, person.token, done) == {"rows": 3}
    assert await asyncio.to_thread(wait, site.server.url, person.token, failed) == "Disk full."


def example(code: str) -> Callable[..., Any]:
    """The function `main` of an example."""
    names: dict[str, Any] = {}
    exec(code, names)
    main: Callable[..., Any] = names["main"]
    return main


async def test_a_task_tells_its_lines_and_ends_the_watch(site: Live) -> None:
    """Row, lines, the final state, and then nothing: the loop ends by itself."""
    person = await site.person()
    task = await site.task(person)
    heard: list[Event] = []
    async with quick(site, person) as client:
        async for event in client.watch(task, timeout=DEADLINE):
            heard.append(event)
            if isinstance(event, Subscribed):
                code = "t = Task.objects.get(pk=pk); t.start(); t.log('Row 7.'); t.complete(result=1)"
                await site.run(code, pk=task)
    told = [event.line.text for event in heard if isinstance(event, TaskLog)]
    assert told == ["Row 7."]
    assert [e.task.status for e in heard if isinstance(e, TaskUpdate)] == ["pending", "running", "completed"]


async def test_a_broadcast_reaches_who_watches_them(site: Live) -> None:
    """Sent with the client, told once; without the permission it is refused."""
    sender, person = await site.person("realtime.add_broadcast"), await site.person()
    async with quick(site, sender) as staff, quick(site, person) as client:
        events = client.watch(topics=["broadcasts"], timeout=DEADLINE)
        await until(events, Subscribed)
        sent = await staff.broadcast(
            "Back soon.", title="Maintenance", audience={"kind": "users", "users": [person.id]}
        )
        notice = await until(events, Broadcast)
        assert isinstance(notice, Broadcast)
        assert (notice.notice.title, notice.broadcast_id) == ("Maintenance", sent["id"])
        with pytest.raises(Denied) as caught:
            await client.broadcast("Hello.")
        assert caught.value.code == "forbidden"
        await events.aclose()
