"""Pings of the protocol and of the application: who lives is kept, who does not answer is dropped."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

import pytest

from tests.flows import Live
from tests.kit.raw_socket import CLOSE, PING, PONG, TEXT, RawSocket
from tests.kit.waiting import aeventually

#: Seconds between the application's pings in the quick site, and between the protocol's.
APPLICATION, PROTOCOL = 0.5, 1.0


@pytest.mark.requirement("W6")
async def test_websocket_ping_format(quick: Live) -> None:
    """The server's ping is a control frame as RFC 6455 §5.5 wants it: whole, unmasked, at most 125 bytes."""
    async with await RawSocket.connect(quick.server, (await quick.person()).token) as raw:
        ping = await raw.read_until(PING)
    assert ping.final
    assert not ping.masked
    assert 0 < len(ping.payload) <= 125


@pytest.mark.requirement("W5")
async def test_websocket_pong_response(quick: Live) -> None:
    """A client's protocol ping is answered by a pong with the same bytes, at once and in order."""
    async with await RawSocket.connect(quick.server, (await quick.person()).token) as raw:
        for payload in (b"", b"hello", bytes(range(125))):
            await raw.write(PING, payload)
        pongs = [(await raw.read_until(PONG)).payload for _ in range(3)]
    assert pongs == [b"", b"hello", bytes(range(125))]


@pytest.mark.requirement("W6")
async def test_websocket_ping_interval(quick: Live) -> None:
    """Both kinds of ping come again and again: the application's every PING_INTERVAL."""
    async with await RawSocket.connect(quick.server, (await quick.person()).token) as raw:
        application: list[float] = []
        protocol = 0
        while len(application) < 6 or protocol < 2:
            frame = await raw.read()
            if frame.opcode == PING:
                protocol += 1
                await raw.write(PONG, frame.payload)
            elif frame.opcode == TEXT and (ping := json.loads(frame.payload))["type"] == "ping":
                application.append(ping["t"])
    gaps = [later - earlier for earlier, later in itertools.pairwise(application)]
    assert min(gaps) >= APPLICATION * 0.99
    assert sorted(gaps)[len(gaps) // 2] < APPLICATION * 2


@pytest.mark.requirement("W6")
async def test_websocket_keepalive(quick: Live) -> None:
    """A client that says nothing but answers the protocol's pings is kept beyond the time-out."""
    async with await RawSocket.connect(quick.server, (await quick.person()).token) as raw:
        begin, answered = time.monotonic(), 0
        while answered < 3 or time.monotonic() - begin < 3 * PROTOCOL:
            await raw.write(PONG, (await raw.read_until(PING)).payload)
            answered += 1
        await raw.write(TEXT, b'{"action": "ping", "t": "still here"}')
        while json.loads((await raw.read_until(TEXT)).payload).get("t") != "still here":
            pass


@pytest.mark.requirement("W7")
async def test_websocket_timeout_detection(quick: Live) -> None:
    """A peer that answers no ping is dropped within interval and time-out, and all of it is cleaned up."""
    person = await quick.person()
    await quick.census()
    before = await quick.census()
    async with await RawSocket.connect(quick.server, person.token) as raw:
        await raw.read_until(TEXT)
        await raw.write(TEXT, b'{"action": "subscribe", "topic": "mine"}')
        await raw.read_until(PING)
        last = await raw.read_to_end(15)
    assert [f for f in last if f.opcode == CLOSE] == [] or last[-1].close_code == 1011

    async def cleaned() -> bool:
        after = await quick.census()
        return after["clients"] <= before["clients"] and after["tasks"] <= before["tasks"]

    await aeventually(cleaned)


@pytest.mark.requirement("W7")
async def test_websocket_keepalive_reconnection(quick: Live) -> None:
    """Who was dropped as dead comes back with its cursor and gets what it missed."""
    person = await quick.person()
    task_id = await quick.task(person)
    async with await RawSocket.connect(quick.server, person.token) as raw:
        await raw.write(TEXT, b'{"action": "subscribe", "topic": "mine"}')
        frames = [json.loads(f.payload) for f in await raw.read_to_end(15) if f.opcode == TEXT]
    cursor = max(frame["id"] for frame in frames if "id" in frame)
    await quick.burst([task_id], 3)
    async with await quick.socket(person) as again:
        await again.send({"action": "subscribe", "topic": "mine", "after": cursor})
        assert (await again.wait("subscribed"))["recovered"] is True
        await again.wait("task_update", lambda f: f["data"]["message"] == "2")
    missed = [
        f["data"]["message"] for f in again.frames if f["type"] == "task_update" and f["data"]["message"]
    ]
    assert missed == ["0", "1", "2"]


@pytest.mark.requirement("W8")
async def test_websocket_ping_pong_timing(quick: Live) -> None:
    """`status` tells the last round trip and their mean, true to the delay of the answers."""
    async with await quick.socket(await quick.person()) as client:
        waited = []
        for delay in (0.1, 0.3):
            ping = await client.wait("ping")
            begin = time.monotonic()
            await asyncio.sleep(delay)  # the injected delay itself, not a wait for something
            await client.send({"action": "pong", "t": ping["t"]})
            await client.ping()
            waited.append((time.monotonic() - begin) * 1000)
        await client.send({"action": "status"})
        status = await client.wait("status")
    slack = 100
    assert 300 <= status["rtt_last"] <= waited[1] + slack
    assert 200 <= status["rtt_mean"] <= sum(waited) / 2 + slack
    assert status["rtt_mean"] < status["rtt_last"]


@pytest.mark.requirement("W8")
async def test_a_pong_nobody_asked_for_measures_nothing(quick: Live) -> None:
    """A made-up or repeated `t` is no round trip."""
    async with await quick.socket(await quick.person()) as client:
        for t in (0, -1, "x", 1e18, None):
            await client.send({"action": "pong", "t": t})
        await client.send({"action": "status"})
        status = await client.wait("status")
    assert status["rtt_last"] is None
