"""A quiet stream: heartbeats, comments and its end, each by a timer of its own."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime

import pytest

from tests.flows import Live, told
from tests.kit.waiting import aeventually

HEARTBEAT, COMMENT = 0.4, 0.6


@pytest.mark.requirement("S3")
async def test_sse_keep_alive_interval(quick: Live) -> None:
    """Heartbeats and comments both come on a quiet stream: the shorter timer does not starve the longer."""
    async with await quick.stream(await quick.person()) as stream:
        await stream.wait("subscribed")
        for _ in range(6):
            await stream.wait("heartbeat")
        # Six heartbeats are 2.4 s: room for four comments, and for none if a heartbeat put them off.
        assert set(stream.comments) == {"heartbeat"}
        assert 3 <= len(stream.comments) < 6


@pytest.mark.requirement("S3")
@pytest.mark.requirement("S5")
async def test_sse_heartbeat_timing(quick: Live) -> None:
    """Heartbeats keep their interval, carry an id that never falls, and only task events put them off."""
    person = await quick.person()
    task_id = await quick.task(person)
    async with await quick.stream(person, topics=["mine"]) as stream:
        await stream.wait("subscribed")
        for _ in range(4):
            await stream.wait("heartbeat")
        quiet = [event.json["t"] for event in stream.events if event.event == "heartbeat"]
        await quick.burst([task_id], 12, pause=0.1)
        await stream.wait("task_update", lambda event: event.json["data"]["message"] == "11")
        await stream.wait("heartbeat")
    gaps = [later - earlier for earlier, later in itertools.pairwise(quiet)]
    assert min(gaps) >= HEARTBEAT * 0.99
    assert sorted(gaps)[len(gaps) // 2] < HEARTBEAT * 1.5
    last_update = 0.0
    for event in stream.events:
        if event.event == "task_update" and event.id:
            last_update = datetime.fromisoformat(event.json["timestamp"]).timestamp()
        elif event.event == "heartbeat":
            assert event.json["t"] - last_update >= HEARTBEAT * 0.99
    updates = [n for n, event in enumerate(stream.events) if event.event == "task_update" and event.id]
    between = stream.events[updates[0] : updates[-1]]
    assert len([event for event in between if event.event == "heartbeat"]) <= 1
    ids = [int(event.id) for event in stream.events if event.id]
    assert ids == sorted(ids)


@pytest.mark.requirement("S3")
async def test_heartbeat_intervals(live: Live) -> None:
    """By default `connected` announces 15 s on a stream and 30 s on a socket."""
    person = await live.person()
    async with await live.stream(person) as stream, await live.socket(person) as socket:
        assert (await stream.wait("connected")).json["heartbeat_interval"] == 15
        assert socket.frames[0]["heartbeat_interval"] == 30


@pytest.mark.requirement("S5")
async def test_a_quiet_clients_cursor_does_not_grow_old(quick: Live) -> None:
    """While only others' tasks change, a client's heartbeats carry the log's position all the same."""
    person, busy = await quick.person(), await quick.person()
    foreign = await quick.task(busy)
    async with await quick.stream(person) as stream:
        start = int((await stream.wait("subscribed")).json["id"])
        await quick.burst([foreign], 5)
        await stream.wait("heartbeat", lambda event: int(event.id or 0) >= start + 5)


@pytest.mark.requirement("S14")
async def test_a_stream_ends_cleanly_at_its_age_and_is_resumed_by_id(brief: Live) -> None:
    """After STREAM_MAX_AGE the answer ends in order; life after life, the events are all there, once."""
    person = await brief.person()
    task_id = await brief.task(person)
    working = asyncio.create_task(brief.burst([task_id], 16, pause=0.08))
    heard: list[str] = []
    cursor: str | None = None
    for _ in range(20):
        async with await brief.stream(person, topics=["mine"], last_event_id=cursor) as stream:
            await stream.wait_closed(timeout=10)
        assert stream.ended
        cursor = stream.last_event_id
        heard += [e.json["data"]["message"] for e in stream.events if e.event == "task_update"]
        if heard[-1] == "15":
            break
    await working
    # The first snapshot, which may hold some number already, and then every later one.
    messages = [message for message in heard if message]
    assert messages == [str(number) for number in range(int(messages[0]), 16)]


@pytest.mark.requirement("S15")
@pytest.mark.parametrize("how", ["cut", "close"])
async def test_a_client_that_goes_away_is_detached(quick: Live, how: str) -> None:
    """Within one heartbeat nothing of it is left: no subscriber, no key, no task of the loop."""
    person = await quick.person()
    await quick.census()
    before = await quick.census()
    streams = [await quick.stream(person, topics=["mine"]) for _ in range(10)]
    for stream in streams:
        await told(stream, "subscribed")
    assert (await quick.census())["clients"] >= before["clients"] + 10
    for stream in streams:
        await getattr(stream, how)()

    async def gone() -> bool:
        after = await quick.census()
        return all(after[what] <= before[what] for what in before)

    await aeventually(gone, timeout=5)


@pytest.mark.requirement("W2")
async def test_streaming_directionality(live: Live) -> None:
    """A stream flows one way, its URL is all a client says; a socket takes words at any time."""
    person = await live.person()
    task_id = await live.task(person)
    async with await live.stream(person, topics=["mine"]) as stream, await live.socket(person) as socket:
        await stream.wait("subscribed")
        for action in ("subscribe", "unsubscribe"):
            asked = {"action": action, "topic": "mine"}
            headers = {"Authorization": f"Bearer {person.token}"}
            assert (await live.http("POST", "/events", json=asked, headers=headers)).status_code == 405
            await socket.send(asked)
            await socket.wait(f"{action}d")
        await live.change(task_id, message="still flowing")
        await stream.wait("task_update", lambda event: event.json["data"]["message"] == "still flowing")
        await socket.ping()
    assert "still flowing" not in str(socket.frames)
