"""Six hundred clients cost a server no more threads and database connections than twenty."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from realtime.conf import SETTINGS
from realtime.testing.view import View
from tests.flows import Client, Live, Person, told
from tests.kit.services import postgres

FEW, MANY = 10, 300
DB_THREADS = SETTINGS["DB_THREADS"].default


async def crowd(live: Live, person: Person, count: int) -> list[Client]:
    """Open `count` subscribed clients of each transport, a few at a time, as browsers arrive."""
    gate = asyncio.Semaphore(25)

    async def come(how: str) -> Client:
        async with gate:
            client = await live.come(how, View(), person)
            await told(client, "subscribed", timeout=30)
            return client

    opening: list[Awaitable[Client]] = [come(how) for _ in range(count) for how in ("socket", "stream")]
    return await asyncio.gather(*opening)


def usage(live: Live) -> tuple[int, int]:
    """How many threads the server has, and connections its database."""
    return live.server.threads(), postgres().connections(live.site.database_url)


@pytest.mark.requirement("P9")
async def test_threads_and_database_connections_do_not_grow_with_the_clients(clustered: Live) -> None:
    """300 streams and 300 sockets use the threads and connections of 10 and 10, within the bounded pool."""
    person = await clustered.person()
    task_id = await clustered.task(person)
    few = await crowd(clustered, person, FEW)
    threads, connections = usage(clustered)
    many = few + await crowd(clustered, person, MANY - FEW)
    await clustered.change(task_id, message="to all")
    for client in many:
        await told(client, "task_update", lambda f: f["data"]["message"] == "to all", timeout=30)
    threads_then, connections_then = usage(clustered)
    await asyncio.gather(*(client.cut() for client in many))
    assert len(many) == 2 * MANY
    # A pool thread starts, and connects, when a query finds none idle: at least one of them had before.
    assert threads_then - threads < DB_THREADS
    assert connections_then - connections < DB_THREADS
