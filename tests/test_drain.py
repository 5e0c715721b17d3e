"""A server that is told to end sends its clients elsewhere first, and none of them misses anything."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from realtime.testing.view import View
from tests.ending import ending
from tests.flows import Live, Person, told
from tests.kit.sockets import SocketClient
from tests.kit.streams import StreamClient
from tests.kit.waiting import aeventually

pytestmark = pytest.mark.requirement("W16")

#: Of the sites that these servers belong to.
DRAIN_SECONDS = 2
#: What a server may take after its drain: uvicorn waits 3 s for what does not end.
END_SECONDS = 15
SOCKETS = STREAMS = 10
#: How long a server may wait for what its clients have not taken.
IMPATIENT: dict[str, list[str]] = {"daphne": [], "uvicorn": ["--timeout-graceful-shutdown", "1"]}


async def ended(live: Live, seconds: float) -> float:
    """Wait for the end of the process; return how long it took."""
    begin = time.monotonic()
    await aeventually(
        lambda: not live.server.running, timeout=seconds, message=lambda: live.server.log()[-500:]
    )
    return time.monotonic() - begin


def pauses(sockets: list[SocketClient]) -> list[int]:
    """The pauses that the sockets were told, each in its last frame, before a close with 4503."""
    assert {client.close_code for client in sockets} == {4503}
    last = [client.frames[-1] for client in sockets]
    assert {(frame["type"], frame["reason"]) for frame in last} == {("reconnect", "restarting")}
    return [frame["after_ms"] for frame in last]


async def stuck(live: Live, person: Person) -> StreamClient:
    """An event stream whose client reads nothing any more and for whom a lot is to be sent."""
    task_id = await live.task(person)
    stream = await live.stream(person, topics=["mine"], receive_buffer=4096)
    await told(stream, "subscribed")
    stream.pause()
    code = (
        "task = Task.objects.get(pk=pk)\n"
        "for number in range(90):\n"
        "    task.message = f'{number:060000}'\n"
        "    task.save()\n"
    )
    async with await live.watching(person) as other:
        await live.run(code, pk=task_id)
        # By now the server has tried to send all of it.
        await told(other, "task_update", lambda f: f["data"]["message"].endswith("89"))
    return stream


async def test_a_deploy_loses_nothing(live: Live) -> None:
    """Sockets hear `reconnect` and 4503, streams end in order with a `retry`; all resume elsewhere."""
    person = await live.person()
    ids = await live.tasks(person, 2)
    ways = ["socket"] * SOCKETS + ["stream"] * STREAMS
    views = [View() for _ in ways]
    async with ending(live, DRAIN_SECONDS=DRAIN_SECONDS) as old:
        clients = [await old.come(how, view, person) for how, view in zip(ways, views, strict=True)]
        for client in clients:
            await told(client, "subscribed")
        burst = asyncio.create_task(live.burst(ids, 30, pause=0.02))
        for client in clients:
            await told(client, "task_update", lambda f: "id" in f)
        os.kill(old.server.pid, signal.SIGTERM)
        await ended(old, DRAIN_SECONDS + END_SECONDS)
        for client in clients:
            await client.wait_closed()
        assert "Traceback" not in old.server.log()
    await burst
    streams = [client for client in clients if isinstance(client, StreamClient)]
    told_pauses = pauses([client for client in clients if isinstance(client, SocketClient)])
    for stream in streams:
        assert stream.ended
        assert stream.events[-1].event == "reconnect"
        assert stream.retry == stream.events[-1].json["after_ms"]
        told_pauses.append(stream.retry)
    assert all(1000 <= pause <= 5000 for pause in told_pauses)
    assert len(set(told_pauses)) > len(told_pauses) / 2
    await live.finish(ids[0])
    for how, view, client in zip(ways, views, clients, strict=True):
        view.feed_all(client.frames)
        async with await live.come(how, view, person) as again:
            await told(again, "subscribed", lambda f: f["recovered"] is True)
            await told(again, "task_update", lambda f: f["data"]["status"] == "completed")
            view.feed_all(again.frames)
        assert view.violations == []
        assert view.resets == []
        assert view.positions == await live.due(person, client.frames)


async def test_who_comes_meanwhile_is_sent_away_at_the_door(live: Live) -> None:
    """A socket hears `reconnect` and 4503, a stream gets 503 with Retry-After; the site's pages go on."""
    person = await live.person()
    async with ending(live, *IMPATIENT[live.server.kind], DRAIN_SECONDS=30, SEND_TIMEOUT=30) as old:
        stream = await stuck(old, person)
        here = await old.socket(person)
        os.kill(old.server.pid, signal.SIGINT)
        await here.wait_closed()
        late = await SocketClient.connect(old.server, person.token)
        await late.wait_closed()
        pauses([here, late])
        refused = await old.http("GET", "/events", headers={"Authorization": f"Bearer {person.token}"})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["code"] == "restarting"
        assert (await old.http("POST", "/api/ticket/")).status_code == 401
        # Whoever does not want to wait for the last client sends a second signal.
        os.kill(old.server.pid, signal.SIGINT)
        await ended(old, END_SECONDS)
        await stream.cut()


async def test_a_client_that_stays_is_not_waited_for_beyond_the_time(live: Live) -> None:
    """After DRAIN_SECONDS the server does what it would have done at once."""
    person = await live.person()
    async with ending(live, *IMPATIENT[live.server.kind], DRAIN_SECONDS=1, SEND_TIMEOUT=30) as old:
        stream = await stuck(old, person)
        begin = time.monotonic()
        os.kill(old.server.pid, signal.SIGTERM)
        await ended(old, 1 + END_SECONDS)
        assert time.monotonic() - begin > 0.9
        assert "1 clients were still connected" in old.server.log()
        await stream.cut()


@pytest.mark.parametrize("settings", [{"DRAIN_SECONDS": 0}, {"DRAIN_SECONDS": 30}])
async def test_without_clients_or_without_a_drain_a_server_ends_at_once(
    live: Live, settings: dict[str, float]
) -> None:
    """Zero is off: the line is cut as the server cuts it; and nobody there is nobody to wait for."""
    person = await live.person()
    async with ending(live, **settings) as old:
        client = await old.socket(person)
        if settings["DRAIN_SECONDS"]:
            await client.close()
        os.kill(old.server.pid, signal.SIGTERM)
        await ended(old, END_SECONDS)
        await client.wait_closed()
        assert client.close_code != 4503


@pytest.mark.parametrize("kind", ["uvicorn"])
async def test_each_worker_of_uvicorn_drains(live: Live) -> None:
    """With `--workers` the processes that serve are children, told by their parent."""
    person = await live.person()
    async with ending(live, "--workers", "2", DRAIN_SECONDS=DRAIN_SECONDS) as old:
        clients = [await old.socket(person) for _ in range(8)]
        os.kill(old.server.pid, signal.SIGTERM)
        await ended(old, DRAIN_SECONDS + 2 * END_SECONDS)
        for client in clients:
            await client.wait_closed()
        pauses(clients)
