"""Redis is killed under load: updates keep arriving, by the log, and nobody is disconnected."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from realtime.testing.view import View
from tests.flows import KINDS, Client, Live, told
from tests.kit.remote import Remote
from tests.kit.site import Site
from tests.kit.waiting import aeventually

#: Clients of each transport on each process.
CROWD = 5
#: Seconds between looks at the log: what an update costs without Redis.
INTERVAL = 0.2

LOAD = """
import pathlib, time
tasks = [Task.objects.create(name="load", owner_id=owner) for _ in range(4)]
number = 0
while not pathlib.Path(stop).exists():
    for task in tasks:
        number += 1
        task.message = str(number)
        task.save()
        time.sleep(0.01)
number
"""


@pytest.fixture
def processes() -> Iterator[list[Live]]:
    """A process under each server, on PostgreSQL and a Redis of their own."""
    with Site("postgres", redis=True, settings={"LOG_CHECK_INTERVAL": INTERVAL}) as site:
        yield [Live(site, site.start(kind)) for kind in KINDS]


async def state(live: Live) -> tuple[int, str]:
    """What `/readyz` says."""
    answer = await live.http("GET", "/readyz")
    return answer.status_code, answer.json()["status"]


def last_heard(client: Client) -> int:
    """The number of the last change that has reached the client."""
    return max(
        (int(f["data"]["message"] or 0) for f in client.frames if f["type"] == "task_update"), default=0
    )


async def all_hear_more(clients: list[Client], changes: int = 20) -> None:
    """Wait until everybody has heard of so many further changes."""
    goal = max(map(last_heard, clients)) + changes
    await aeventually(lambda: min(map(last_heard, clients)) >= goal, timeout=30)


@pytest.mark.requirement("F10", "K13", "F1")
async def test_redis_killed_under_load_disconnects_nobody_and_updates_arrive_by_the_log(
    processes: list[Live],
) -> None:
    """`/readyz` is 200 `degraded` meanwhile; Redis back, all is `ready` on the same connections."""
    site, redis = processes[0].site, processes[0].site.redis
    assert redis is not None
    person = await processes[0].person()
    stop = site.folder / "stop"
    worker: Remote = site.remote("load")
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for live in processes:
            for how in ("socket", "stream") * CROWD:
                clients.append(await stack.enter_async_context(await live.come(how, View(), person)))
        for client in clients:
            await told(client, "subscribed")
        done: list[Any] = []
        working = threading.Thread(
            target=lambda: done.append(worker.run(LOAD, owner=person.id, stop=str(stop)))
        )
        working.start()
        try:
            await all_hear_more(clients)
            for live in processes:
                await aeventually(lambda live=live: _is(live, 200, "ready"), timeout=30, interval=0.1)
            await asyncio.to_thread(redis.kill)
            for live in processes:
                await aeventually(lambda live=live: _is(live, 200, "degraded"), timeout=30, interval=0.1)
            await all_hear_more(clients, 100)
            await asyncio.to_thread(redis.start)
            for live in processes:
                await aeventually(lambda live=live: _is(live, 200, "ready"), timeout=30, interval=0.1)
            await all_hear_more(clients)
        finally:
            stop.touch()
            await asyncio.to_thread(working.join, 30)
        await aeventually(lambda: min(map(last_heard, clients)) == done[0], timeout=30)
        due = await processes[0].due(person, clients[0].frames)
        for client in clients:
            assert not client.closed
            view = View().feed_all(client.frames)
            assert view.violations == []
            assert view.positions == due
            assert [f["type"] for f in client.frames].count("connected") == 1


async def _is(live: Live, code: int, status: str) -> bool:
    return await state(live) == (code, status)
