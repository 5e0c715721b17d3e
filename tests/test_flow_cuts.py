"""Connections killed anywhere: what the client holds in the end is what the database holds."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import pytest
from websockets.exceptions import WebSocketException

from realtime.testing.view import View
from tests.flows import Client, Live, Person, told
from tests.kit.http_stream import Broken
from tests.kit.proxy import CuttingProxy

CLIENTS, CUTS = 10, 20
#: A cut falls somewhere into the opening handshake, the snapshot, a replay or the live events.
BYTES = 4_000
PATIENCE = 0.5
#: By then every cut is made, on a machine that is busy with other things too.
SECONDS = 180


async def drop(client: Client) -> list[dict[str, object]]:
    """Read until the line breaks; a line on which nothing happens any more is cut by the client."""
    with contextlib.suppress(AssertionError):
        await client.wait_closed(PATIENCE)
    await client.cut()
    return client.frames


async def suffer(
    live: Live, how: str, person: Person, view: View, proxy: CuttingProxy
) -> list[dict[str, object]]:
    """Come back again and again until every cut is made; return the frames up to the first answer."""
    through = Live(live.site, proxy)  # type: ignore[arg-type]
    first: list[dict[str, object]] = []
    deadline = time.monotonic() + SECONDS
    # A client that is cut by its own patience does not count: it comes again.
    while proxy.cuts < CUTS and time.monotonic() < deadline:
        proxy.cut_after = random.randrange(BYTES)
        try:
            client = await through.come(how, view, person)
        except (OSError, EOFError, WebSocketException, Broken, AssertionError):
            continue  # cut within the handshake or `connected`
        frames = await drop(client)
        if view.cursor is None:
            first = frames
        view.feed_all(frames)
    return first


@pytest.mark.requirement("K3")
@pytest.mark.parametrize(("kind", "how"), [("daphne", "socket"), ("uvicorn", "stream")], indirect=["kind"])
async def test_a_connection_killed_at_200_points_ends_equal_to_the_database(
    clustered: Live, how: str
) -> None:
    """Cut at 200 random bytes while tasks change: the rows are the database's, no event comes twice."""
    person = await clustered.person()
    ids = await clustered.tasks(person, 3)
    views = [View() for _ in range(CLIENTS)]
    proxies = [CuttingProxy(clustered.server) for _ in views]
    done = asyncio.Event()

    async def work() -> None:
        while not done.is_set():
            await clustered.burst(ids, 3, pause=0.01)

    async with contextlib.AsyncExitStack() as stack:
        for proxy in proxies:
            await stack.enter_async_context(proxy)
        working = asyncio.create_task(work())
        suffering = [
            suffer(clustered, how, person, view, proxy) for view, proxy in zip(views, proxies, strict=True)
        ]
        firsts = await asyncio.gather(*suffering)
        done.set()
        await working
    await clustered.finish(ids[0])
    assert sum(proxy.cuts for proxy in proxies) >= CLIENTS * CUTS
    for view, first in zip(views, firsts, strict=True):
        async with await clustered.come(how, view, person) as client:
            await told(client, "subscribed")
            await told(client, "task_update", lambda f: f["data"]["status"] == "completed")
            view.feed_all(client.frames)
            due = await clustered.due(person, first or client.frames)
        assert view.violations == []
        assert view.resets == []
        assert view.positions == sorted(set(view.positions))
        # A snapshot holds back what it contains on its own connection only.
        assert set(due) <= set(view.positions)
        assert view.rows == await clustered.rows(person)
