"""Coming back: with a cursor a client gets exactly what it missed, or is told plainly that it cannot."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from realtime.testing.view import View
from tests.flows import Live, told

#: Cursors no log can serve, with the reason their reset gives; FUTURE is beyond the log's end.
HOPELESS = [
    ("1", "expired"),
    ("0", "expired"),
    ("FUTURE", "unknown_position"),
    ("-5", "unknown_position"),
    ("12.5", "unknown_position"),
    ("abc", "unknown_position"),
    ("\u0661\u0662".encode().decode("latin-1"), "unknown_position"),
    ("9" * 18, "unknown_position"),
    ("9" * 40, "unknown_position"),
]


@pytest.mark.requirement("S6")
async def test_sse_reconnection_tracking(live: Live) -> None:
    """Read five events, cut the line, come back: the sixth is next, and every one comes once."""
    person = await live.person()
    task_id = await live.task(person)
    first = await live.stream(person, topics=["mine"])
    await first.wait("subscribed")
    await live.burst([task_id], 10)
    for _ in range(5):
        await first.wait("task_update", lambda event: event.id is not None)
    await first.cut()
    heard = [e for e in first.events if e.event == "task_update" and e.id][:5]
    async with await live.stream(person, topics=["mine"], last_event_id=heard[-1].id) as second:
        subscribed = await second.wait("subscribed")
        await second.wait("task_update", lambda event: event.json["data"]["message"] == "9")
    heard += [e for e in second.events if e.event == "task_update"]
    assert [event.json["data"]["message"] for event in heard] == [str(n) for n in range(10)]
    assert subscribed.json["recovered"] is True


@pytest.mark.requirement("S6")
async def test_sse_reconnection_from_id(live: Live) -> None:
    """Wherever the line is cut, the next stream begins at the next event."""
    person = await live.person()
    task_id = await live.task(person)
    async with await live.stream(person, topics=["mine"]) as first:
        await first.wait("subscribed")
        await live.burst([task_id], 30)
        await first.wait("task_update", lambda event: event.json["data"]["message"] == "29")
    events = [event for event in first.events if event.event == "task_update" and event.id]
    for cut in random.sample(range(len(events)), 10):
        async with await live.stream(person, topics=["mine"], last_event_id=events[cut].id) as again:
            await again.wait("subscribed")
        replayed = [event for event in again.events if event.event == "task_update"]
        assert [e.id for e in replayed] == [e.id for e in events[cut + 1 :]]
        assert [e.data for e in replayed] == [e.data for e in events[cut + 1 :]]


@pytest.mark.requirement("S6")
async def test_the_header_wins_over_the_query(live: Live) -> None:
    """`?last_event_id=` resumes where no header can be sent; where both are, the header counts."""
    person = await live.person()
    task_id = await live.task(person)
    async with await live.stream(person, topics=["mine"]) as first:
        await first.wait("subscribed")
        await live.burst([task_id], 6)
        await first.wait("task_update", lambda event: event.json["data"]["message"] == "5")
    ids = [event.id for event in first.events if event.event == "task_update" and event.id]

    async def replayed(**asked: Any) -> list[str | None]:
        async with await live.stream(person, topics=["mine"], **asked) as again:
            await again.wait("subscribed")
        return [event.id for event in again.events if event.event == "task_update"]

    assert await replayed(query={"last_event_id": str(ids[0])}) == ids[1:]
    assert await replayed(query={"last_event_id": str(ids[0])}, last_event_id=ids[2]) == ids[3:]
    assert await replayed(query={"last_event_id": "nonsense"}, last_event_id=ids[-1]) == []


@pytest.mark.requirement("S7")
@pytest.mark.parametrize("how", ["socket", "stream"])
@pytest.mark.parametrize(
    ("cursor", "reason"), HOPELESS, ids=[reason + str(n) for n, (_, reason) in enumerate(HOPELESS)]
)
async def test_a_hopeless_cursor_gets_one_reset_and_a_fresh_snapshot(
    live: Live, how: str, cursor: str, reason: str
) -> None:
    """Too old, from the future or malformed: one `reset` with its reason, then the state as it is now."""
    person = await live.person()
    task_id = await live.task(person, message="current")
    if cursor == "FUTURE":
        head = await live.run("LogHead.objects.get().position")
        cursor = str(head + 1_000_000)
    if how == "stream":
        client: Any = await live.stream(person, topics=["mine"], last_event_id=cursor)
    else:
        client = await live.socket(person)
        await client.send({"action": "subscribe", "topic": "mine", "after": cursor})
    reset = await told(client, "reset")
    subscribed = await told(client, "subscribed")
    await live.change(task_id, message="live")
    await told(client, "task_update", lambda f: f["data"]["message"] == "live")
    await client.cut()
    assert reset["reason"] == reason
    assert "id" not in reset
    assert subscribed["recovered"] is False
    assert [frame["type"] for frame in client.frames[:4]] == [
        "connected",
        "reset",
        "task_update",
        "subscribed",
    ]
    assert client.frames[2]["snapshot"] is True
    assert client.frames[2]["data"]["message"] == "current"
    assert View().feed_all(client.frames).violations == []


@pytest.mark.requirement("S7")
async def test_a_pruned_cursor_is_expired(live: Live) -> None:
    """A cursor below the log's floor gets a `reset` with the reason `expired`."""
    person = await live.person()
    task_id = await live.task(person)
    # A server that pruning overtakes must reset its clients: not those of the next test.
    await live.level()
    code = "from realtime import log\nfrom django.utils import timezone\nlog.prune(timezone.now(), 0)"
    await live.run(code)
    floor = await live.run("LogHead.objects.get().floor")
    async with await live.socket(person) as client:
        await client.send({"action": "subscribe", "task_id": task_id, "after": floor - 1_000_000})
        assert (await client.wait("reset"))["reason"] == "expired"
        assert (await client.wait("subscribed"))["task_ids"] == [task_id]


@pytest.mark.requirement("K3")
@pytest.mark.parametrize("how", ["socket", "stream"])
async def test_sse_reconnection_logic(live: Live, how: str) -> None:
    """A client that loses its line ten times holds, in the end, what the database holds."""
    person = await live.person()
    ids = await live.tasks(person, 3)
    view = View()
    for turn in range(10):
        client = await live.come(how, view, person)
        await told(client, "subscribed")
        await live.burst(ids, 2)
        if turn % 2:
            await told(client, "task_update", lambda f: "id" in f)
        await client.cut()
        view.feed_all(client.frames)
    await live.finish(ids[0])
    async with await live.come(how, view, person) as client:
        await told(client, "subscribed")
        await told(client, "task_update", lambda f: f["data"]["status"] == "completed")
    view.feed_all(client.frames)
    assert view.violations == []
    assert view.positions == sorted(set(view.positions))
    assert view.rows == await live.rows(person)


@pytest.mark.requirement("S7")
async def test_a_resume_is_answered_while_events_keep_coming(clustered: Live) -> None:
    """Who waits for the log to be read is not kept from it by what the hub offers meanwhile."""
    person = await clustered.person()
    task_id = await clustered.task(person)
    working = asyncio.create_task(clustered.burst([task_id], 200, pause=0.002))
    while not working.done():
        for how in ("socket", "stream"):
            view = View(cursor=int("9" * 18), topics=["mine"])
            async with await clustered.come(how, view, person) as client:
                await told(client, "reset")
                await told(client, "subscribed")
            assert View().feed_all(client.frames).violations == []
    await working
