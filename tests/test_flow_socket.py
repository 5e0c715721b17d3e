"""The WebSocket conversation: subscribe, unsubscribe, ping, status, and how it opens and closes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.flows import Live
from tests.kit.raw_socket import CLOSE, TEXT, RawSocket
from tests.kit.waiting import aeventually


@pytest.mark.requirement("W1")
async def test_the_first_frame_is_connected(live: Live) -> None:
    """It says who is connected, as what, since where in the log, and what may be sent."""
    person = await live.person()
    async with await live.socket(person) as client:
        connected = client.frames[0]
    assert connected["user_id"] == str(person.id)
    assert connected["protocol"] == "1.0"
    assert connected["heartbeat_interval"] == 30
    assert connected["actions"] == ["authenticate", "ping", "pong", "status", "subscribe", "unsubscribe"]
    assert connected["expires_at"].endswith("Z")
    assert isinstance(connected["position"], int)
    assert len(connected["connection_id"]) == 32
    assert connected["message"]
    assert "id" not in connected


@pytest.mark.requirement("W2")
async def test_websocket_request_response(live: Live) -> None:
    """Each action's answer carries the request's id, text or number, and each request has its own."""
    person = await live.person()
    task_id = await live.task(person)
    actions: list[tuple[dict[str, Any], str]] = [
        ({"action": "subscribe", "task_id": task_id}, "subscribed"),
        ({"action": "unsubscribe", "task_id": task_id}, "unsubscribed"),
        ({"action": "ping", "t": 1}, "pong"),
        ({"action": "status"}, "status"),
        ({"action": "authenticate", "token": person.token}, "authenticated"),
        ({"action": "subscribe", "task_id": str(uuid.uuid4())}, "error"),
        ({"action": "subscribe", "task_id": "no uuid"}, "error"),
    ]
    async with await live.socket(person) as client:
        for number, (action, answer) in enumerate(actions):
            for request_id in (number, f"request {number}"):
                await client.send({**action, "request_id": request_id})
                found = await client.wait(
                    answer, lambda frame, wanted=request_id: frame.get("request_id") == wanted
                )
                assert found["type"] == answer


@pytest.mark.requirement("W3")
async def test_subscribe_sends_the_snapshot_then_subscribed(live: Live) -> None:
    """First the rows, without ids; then `subscribed` with its position; a repeat does the same again."""
    person = await live.person()
    ids = await live.tasks(person, 3)
    async with await live.socket(person) as client:
        for _ in range(2):
            await client.send({"action": "subscribe", "task_ids": ids})
            subscribed = await client.wait("subscribed")
            rows = client.frames[-4:-1]
            assert client.frames[-1] == subscribed
            assert {row["task_id"] for row in rows} == set(ids) == set(subscribed["task_ids"])
            assert all(row["snapshot"] is True and "id" not in row for row in rows)
            assert subscribed["id"] == subscribed["position"]
        await live.burst(ids[:1], 1)
        await client.wait("task_update", lambda f: "id" in f)
        await client.ping()
    assert len([f for f in client.frames if f["type"] == "task_update" and "id" in f]) == 1


@pytest.mark.requirement("W3")
async def test_too_many_subscriptions_are_refused(live: Live) -> None:
    """Over the cap: `error too_many_subscriptions`, nothing of that frame is served, the socket stays."""
    person = await live.person()
    own = await live.task(person)
    async with await live.socket(person) as client:
        await client.send(
            {"action": "subscribe", "task_ids": [own, *(str(uuid.uuid4()) for _ in range(128))]}
        )
        assert (await client.wait("error"))["code"] == "too_many_subscriptions"
        await client.send({"action": "status"})
        assert (await client.wait("status"))["task_ids"] == []


@pytest.mark.requirement("W4")
async def test_unsubscribe(live: Live) -> None:
    """After `unsubscribed` nothing of that task comes; other subscriptions go on."""
    person = await live.person()
    left, kept = await live.tasks(person, 2)
    async with await live.watching(person, task_ids=[left, kept]) as client:
        await client.send({"action": "unsubscribe", "task_id": left})
        gone = await client.wait("unsubscribed")
        await live.burst([left, kept], 3)
        await client.wait("task_update", lambda f: f["task_id"] == kept and f["data"]["message"] == "2")
    assert (gone["task_id"], gone["task_ids"]) == (left, [left])
    after = client.frames[client.frames.index(gone) :]
    assert left not in {frame.get("task_id") for frame in after[1:]}


@pytest.mark.requirement("W5")
async def test_ping_pong(live: Live) -> None:
    """`ping {t}` comes back as `pong {t, timestamp}`, whatever kind of value `t` is."""
    async with await live.socket(await live.person()) as client:
        for t in (0, 12.5, "mark", 2**60, None):
            await client.send({"action": "ping", "t": t})
            pong = await client.wait("pong")
            assert pong.get("t") == t
            assert pong["timestamp"].endswith("Z")


@pytest.mark.requirement("W2")
async def test_connection_health_monitoring(live: Live) -> None:
    """`status` tells the connection's own figures: what it watches, how far it is, how much was sent."""
    person = await live.person()
    task_id = await live.task(person)
    async with await live.watching(person, topic="mine", task_id=task_id) as client:
        await client.send({"action": "status"})
        status = await client.wait("status")
    assert status["connection_id"] == client.frames[0]["connection_id"]
    assert status["task_ids"] == [task_id]
    assert set(status["topics"]) >= {"mine"}
    assert status["position"] == status["id"]
    assert status["behind"] is False
    assert status["sent"] >= 3
    assert status["rtt_last"] is None


async def test_websocket_close_handshake(quick: Live) -> None:
    """A close frame is answered by one with the same code; then the line ends and the client is detached."""
    before = await quick.census()
    async with await RawSocket.connect(quick.server, (await quick.person()).token) as raw:
        await raw.read_until(TEXT)
        await raw.write(CLOSE, (1000).to_bytes(2, "big") + b"bye")
        assert (await raw.read_until(CLOSE)).close_code == 1000
        assert [frame for frame in await raw.read_to_end(10) if frame.opcode == TEXT] == []

    async def detached() -> bool:
        return (await quick.census())["clients"] <= before["clients"]

    await aeventually(detached)


@pytest.mark.requirement("W15")
async def test_a_slow_handler_stops_nothing_else(clustered: Live) -> None:
    """While a subscribe waits for a locked table, pings are answered and broadcasts arrive."""
    person = await clustered.person()
    task_id = await clustered.task(person)
    lock = "from django.db import connection, transaction\nlock = transaction.atomic()\nlock.__enter__()\n"
    lock += "connection.cursor().execute('LOCK TABLE realtime_task IN ACCESS EXCLUSIVE MODE').close()"
    notice = "from realtime import log\nfrom django.utils import timezone\n"
    notice += "data = {'broadcast_id': str(name), 'message': {'title': 'hello'}}\n"
    notice += "log.append([Event(kind='broadcast', created_at=timezone.now(), data=data)])"
    holder = clustered.site.remote("holder")
    async with await clustered.socket(person) as client:
        await holder.arun(lock)
        try:
            await client.send({"action": "subscribe", "task_id": task_id})
            name = str(uuid.uuid4())
            await clustered.run(notice, name=name)
            await client.wait("broadcast", lambda f: f["broadcast_id"] == name)
            for _ in range(3):
                await client.ping()
            assert "subscribed" not in {frame["type"] for frame in client.frames}
        finally:
            await holder.arun("lock.__exit__(None, None, None)")
        await client.wait("subscribed")
