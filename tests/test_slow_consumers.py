"""Clients that read slowly, or not at all for a while: they cost little, harm nobody, and miss nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.flows import KINDS, Client, Live, Person, Sites, told
from tests.kit.crowd import Clients
from tests.kit.crowd_plans import plan
from tests.kit.sockets import SocketClient
from tests.kit.waiting import aeventually, eventually

TRANSPORTS = ("socket", "stream")
#: 30 MB for each client: a server that kept it all would take on 45 MB for its two in three quarters.
UPDATES, SIZE = 10_000, 3_000
#: What a process may take on in the last three quarters.
ROOM = 30_000_000
#: The window of the site of these tests, in bytes.
WINDOW = 400_000
#: Clients that read, and what each receives in each half of a comparison, a second.
CROWD, BEATS, RATE = 499, 6, 10

UPDATE = """
tasks = Task.objects.filter(owner_id=owner)
for number in range(count // tasks.count()):
    tasks.update(message=f"{number:06} " + "x" * size)
tasks.count() * (number + 1)
"""

FILL = """
for number in range(20):
    Task.objects.filter(pk__in=ids).update(message=f"{number} " + "x" * 50_000)
"""


@pytest.fixture
def roomy(sites: Sites) -> dict[str, Live]:
    """Both servers on one site, with a small ring, and patient with clients that have stopped."""
    return {kind: sites.live("patient", kind) for kind in KINDS}


async def watch(live: Live, how: str, person: Person, **options: Any) -> Client:
    """Watch that person's tasks over `how`, with a small receive buffer unless told otherwise."""
    options = {"receive_buffer": 4096} | options
    if how == "stream":
        client: Client = await live.stream(person, topics=["mine"], **options)
        await told(client, "subscribed")
        return client
    socket = await live.socket(person, **options)
    await socket.send({"action": "subscribe", "topic": "mine"})
    await socket.wait("subscribed")
    return socket


def positions(client: Client) -> list[int]:
    """The events a client has received."""
    return [frame["id"] for frame in client.frames if frame["type"] == "task_update" and "id" in frame]


async def answer_pings(client: SocketClient) -> None:
    """Answer every ping of the application, as our own clients do."""
    while True:
        ping = await client.wait("ping", timeout=3600)
        await client.send({"action": "pong", "t": ping["t"]})


@pytest.mark.requirement("K5")
@pytest.mark.requirement("F3")
@pytest.mark.requirement("F4")
async def test_a_paused_reader_costs_bounded_memory_and_then_gets_everything(
    roomy: dict[str, Live],
) -> None:
    """10,000 updates while it reads nothing: the server stays small; then all of them, and the end."""
    first = roomy["daphne"]
    person = await first.person()
    tasks = await first.tasks(person, 100)
    async with AsyncExitStack() as leaving:
        clients = [
            await leaving.enter_async_context(await watch(live, how, person, receive_buffer=None))
            for live in roomy.values()
            for how in TRANSPORTS
        ]
        for client in clients:
            client.pause()
        memory: dict[str, int] = {}
        for _ in range(4):
            await first.run(UPDATE, owner=person.id, count=UPDATES // 4, size=SIZE)
            for kind, live in roomy.items():
                # After the first quarter the ring is full and all that is used has been used once.
                assert live.server.rss() - memory.setdefault(kind, live.server.rss()) < ROOM
        await first.finish(tasks[0])
        owed = await first.due(person, clients[0].frames)
        assert len(owed) > UPDATES
        for client in clients:
            assert len(positions(client)) < UPDATES / 10
            client.resume()
        for client in clients:
            await told(client, "task_update", lambda f: f["data"]["status"] == "completed", timeout=60)
            assert positions(client) == owed


@pytest.mark.requirement("K6")
async def test_a_slow_client_recovers(roomy: dict[str, Live]) -> None:
    """It reads a little and rests, all the while behind; when it is faster its history is the log's."""
    first = roomy["uvicorn"]
    person = await first.person()
    await first.tasks(person, 50)
    async with AsyncExitStack() as leaving:
        clients = [
            await leaving.enter_async_context(await watch(live, how, person))
            for live in roomy.values()
            for how in TRANSPORTS
        ]
        writing = asyncio.create_task(first.run(UPDATE, owner=person.id, count=1500, size=SIZE))
        while not writing.done():
            for client in clients:
                client.resume()
            await asyncio.sleep(0.01)
            for client in clients:
                client.pause()
            await asyncio.sleep(0.1)
        await writing
        owed = await first.due(person, clients[0].frames)
        for client in clients:
            client.resume()
        for client in clients:
            await aeventually(lambda client=client: positions(client)[-1:] == owed[-1:], timeout=30)
            assert positions(client) == owed


@pytest.mark.requirement("K6")
@pytest.mark.requirement("F3")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_answers_pings_is_stopped_by_its_window(
    roomy: dict[str, Live], kind: str
) -> None:
    """It stops reading with room for megabytes on the way: about a window is written, and then no more."""
    live = roomy[kind]
    person = await live.person()
    await live.tasks(person, 10)
    client = await watch(live, "socket", person, receive_buffer=None)
    assert isinstance(client, SocketClient)
    async with client:
        answering = asyncio.create_task(answer_pings(client))
        await live.run(UPDATE, owner=person.id, count=100, size=SIZE)
        await aeventually(lambda: any(frame["type"] == "ping" for frame in client.frames))
        await client.ping()
        client.pause()
        before = sum(len(json.dumps(frame)) for frame in client.frames)
        await live.run(UPDATE, owner=person.id, count=500, size=SIZE)
        owed = await live.due(person, client.frames)
        async with await live.watching(person) as other:
            await live.run(UPDATE, owner=person.id, count=10, size=10)
            await other.wait("task_update", lambda f: len(f["data"]["message"]) < 20)
        answering.cancel()
        client.resume()
        await aeventually(lambda: client.frames[-1]["type"] == "ping" and len(positions(client)) > 101)
        written = sum(len(json.dumps(frame)) for frame in client.frames) - before
        assert written < 2 * WINDOW
        answering = asyncio.create_task(answer_pings(client))
        for ping in [frame for frame in client.frames if frame["type"] == "ping"]:
            await client.send({"action": "pong", "t": ping["t"]})
        await aeventually(lambda: len(positions(client)) >= len(owed) + 10)
        answering.cancel()
        assert positions(client) == await live.due(person, client.frames)


@pytest.mark.requirement("K7")
@pytest.mark.requirement("F7")
async def test_a_stalled_client_leaves_the_others_where_they_were(clustered: Live) -> None:
    """One of each transport among 500 reads nothing: the p99 of the others stays where it was."""
    person = await clustered.person()
    watched, *others = await clustered.tasks(person, 11)
    asked = plan("websocket", clustered.server.port, person.token, watched)
    with Clients() as crowd:
        await asyncio.to_thread(crowd.ask, "open", count=CROWD, plan=asked)
        before = await p99(clustered, crowd, watched, first=0)
        async with AsyncExitStack() as leaving:
            for how in TRANSPORTS:
                stalled = await leaving.enter_async_context(await watch(clustered, how, person))
                stalled.pause()
            # Far more than its kernel and its server hold for it.
            await clustered.run(FILL, ids=others)
            after = await p99(clustered, crowd, watched, first=BEATS)
    assert after < 3 * before + 1


async def p99(live: Live, crowd: Clients, task_id: str, first: int) -> float:
    """Seconds from the commit to a client, of updates that all of the crowd receives."""
    write = "from tests.kit.writer import write\nwrite(task_id, first, count, rate)"
    commits = await live.run(write, task_id=task_id, first=first, count=BEATS, rate=RATE)

    def arrived() -> bool:
        return bool(crowd.ask("count") >= CROWD * (first + BEATS))

    await asyncio.to_thread(eventually, arrived, 30, 0.1)
    report = await asyncio.to_thread(crowd.ask, "report")
    assert report["lost"] == 0
    delays = sorted(
        moment - commits[number - first]
        for number, moment in zip(report["numbers"], report["times"], strict=True)
        if number >= first
    )
    return float(delays[len(delays) * 99 // 100])
