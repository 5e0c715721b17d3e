"""A client that has stopped reading is ended after SEND_TIMEOUT, and nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from realtime import consumers, database, metrics, views
from realtime.conf import conf
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.protocol import client
from tests.flows import Sites, told
from tests.kit.waiting import aeventually
from tests.peers import Peer, process_hub
from tests.watching import NEVER, event, hanging_database, token

Hubs = Callable[..., Awaitable[Hub]]


@pytest.fixture(autouse=True)
def soon(settings: Any) -> None:
    """Whoever does not read is stuck after a fifth of a second."""
    settings.REALTIME = {"SEND_TIMEOUT": 0.2, "LOG_CHECK_INTERVAL": 0.1}


class StuckStream:
    """A server that serves an event stream to a client that reads nothing after its first chunk."""

    def __init__(self, hub: Hub) -> None:
        # Held by the test, as a server may hold the response of a request that it has cancelled.
        self.body = views._body(hub, Viewer("1"), client.Subscribe(topic="mine"))
        self.chunks: list[bytes] = []
        self.serving = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        async for chunk in self.body:
            self.chunks.append(chunk)
            await asyncio.Event().wait()


@pytest.mark.requirement("F6")
@pytest.mark.requirement("S15")
async def test_a_stuck_stream_leaves_nothing_behind(hubs: Hubs) -> None:
    """It is detached at once, though somebody still holds the response and its suspended generator."""
    hub = await hubs()
    stuck = StuckStream(hub)
    await aeventually(lambda: len(hub.directory.subscribers) == 1)
    await aeventually(lambda: stuck.serving.done())
    assert stuck.serving.cancelled()
    assert hub.directory.subscribers == set()
    assert hub.rights._streams == {}
    assert hub.directory.by_key == {}
    await stuck.body.aclose()


@pytest.mark.requirement("F6")
@pytest.mark.parametrize("how", ["stream", "socket"])
async def test_a_stuck_client_is_ended_while_the_database_hangs(
    hubs: Hubs, make_user: Callable[..., Any], how: str
) -> None:
    """The hub cannot read the log meanwhile; that must not keep clients that nobody can serve."""
    user = await database.run(make_user)
    transport = {"stream": metrics.SSE, "socket": metrics.WEBSOCKET}[how]
    counted = ("realtime_stuck_clients_total", {"transport": transport})
    before = metrics.REGISTRY.get_sample_value(*counted) or 0
    async with process_hub() as hub:
        if how == "stream":
            stuck = StuckStream(hub)
            await aeventually(lambda: stuck.chunks)
        else:
            peer = Peer(token(user))
            await peer.wait("connected")
        async with hanging_database():
            if how == "socket":
                peer.can_send.clear()
                peer.say(action="ping")
            await aeventually(lambda: not hub.directory.subscribers, timeout=3)
        assert metrics.REGISTRY.get_sample_value(*counted) == before + 1
        if how == "stream":
            await stuck.body.aclose()
        else:
            await peer.leave()


@pytest.mark.requirement("F6")
async def test_a_stuck_socket_is_told_why_in_case_it_still_reads(
    hubs: Hubs, make_user: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """4410 with the error slow_consumer, should the line come back in time."""
    user = await database.run(make_user)
    monkeypatch.setattr(consumers, "FAREWELL", 10)
    async with process_hub() as hub, Peer(token(user)) as peer:
        await peer.wait("connected")
        peer.can_send.clear()
        peer.say(action="ping")
        await aeventually(lambda: "slow_consumer" in peer.sending.get("text", ""))
        peer.can_send.set()
        assert await peer.wait_closed() == 4410
        assert peer.frames[-1]["code"] == "slow_consumer"
        assert hub.directory.subscribers == set()


@pytest.mark.requirement("F6")
async def test_a_client_that_reads_is_left_alone(
    hubs: Hubs, make_user: Callable[..., Any], settings: Any
) -> None:
    """However long it is connected: only one send that does not end counts."""
    settings.REALTIME = {"SEND_TIMEOUT": 0.2, "LOG_CHECK_INTERVAL": NEVER}
    user = await database.run(make_user)
    async with process_hub() as hub, Peer(token(user)) as peer:
        await peer.wait("connected")
        peer.say(action="subscribe", topic="mine")
        await peer.wait("subscribed")
        end = asyncio.get_running_loop().time() + 3 * conf.SEND_TIMEOUT
        while asyncio.get_running_loop().time() < end:
            hub.receive([event(hub.position + 1, str(user.pk))])
            await asyncio.sleep(0.02)
        assert len(hub.directory.subscribers) == 1
        assert peer.close_code is None


@pytest.mark.requirement("F6")
@pytest.mark.requirement("S15")
async def test_a_stuck_stream_is_ended_by_a_real_server(sites: Sites) -> None:
    """uvicorn waits for ever on a client that has stopped reading; the census returns to what it was."""
    live = sites.live("quick", "uvicorn")
    person = await live.person()
    task_id = await live.task(person)
    await live.census()
    before = await live.census()
    stream = await live.stream(person, topics=["mine"], receive_buffer=4096)
    await told(stream, "subscribed")
    stream.pause()
    code = (
        "task = Task.objects.get(pk=pk)\n"
        "for number in range(90):\n"
        "    task.message = f'{number:060000}'\n"
        "    task.save()\n"
    )
    assert (await live.census())["clients"] == before["clients"] + 1
    await live.run(code, pk=task_id)

    async def gone() -> bool:
        after = await live.census()
        return all(after[what] <= before[what] for what in before)

    await aeventually(gone, timeout=10)
    await stream.cut()
