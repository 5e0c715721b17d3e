"""Two server processes on Redis and PostgreSQL: a client goes from one to the other and loses nothing."""

from __future__ import annotations

import itertools

import pytest

from realtime.testing.view import View
from tests.flows import Live, told

#: From a server and a transport to a server and a transport.
WAYS = list(itertools.product(("daphne", "uvicorn"), ("socket", "stream"), repeat=2))


@pytest.mark.requirement("S6")
@pytest.mark.parametrize(("first", "by", "then", "over"), WAYS)
async def test_a_client_cut_from_one_process_resumes_on_the_other(
    cluster: dict[str, Live], first: str, by: str, then: str, over: str
) -> None:
    """One integer serves every process and both transports: what was missed comes, once, in order."""
    one, other = cluster[first], cluster[then]
    person = await one.person()
    ids = await one.tasks(person, 3)
    view = View()
    client = await one.come(by, view, person)
    await told(client, "subscribed")
    await one.burst(ids, 2)
    for _ in range(4):
        await told(client, "task_update", lambda f: "id" in f)
    await client.cut()
    view.feed_all(client.frames)
    await other.burst(ids, 3)
    async with await other.come(over, view, person) as again:
        await told(again, "subscribed", lambda f: f["recovered"] is True)
        await one.finish(ids[0])
        await told(again, "task_update", lambda f: f["data"]["status"] == "completed")
        view.feed_all(again.frames)
    assert view.violations == []
    assert view.resets == []
    assert view.positions == await one.due(person, client.frames)
    assert view.rows == await one.rows(person)


@pytest.mark.requirement("S5")
async def test_ids_are_the_same_in_every_process(cluster: dict[str, Live]) -> None:
    """An event has one id, whichever server and transport tells it."""
    one, other = cluster.values()
    person = await one.person()
    task_id = await one.task(person)
    clients = [await live.come(how, View(), person) for live in (one, other) for how in ("socket", "stream")]
    for client in clients:
        await told(client, "subscribed")
    await one.burst([task_id], 20)
    heard = []
    for client in clients:
        await told(client, "task_update", lambda f: f["data"]["message"] == "19")
        heard.append(
            [(f["id"], f["data"]) for f in client.frames if f["type"] == "task_update" and "id" in f]
        )
        await client.cut()
    assert len(heard[0]) == 20
    assert all(events == heard[0] for events in heard)


@pytest.mark.requirement("S7")
async def test_a_cursor_ahead_of_the_process_but_not_of_the_database_catches_up(
    cluster: dict[str, Live],
) -> None:
    """A server that has heard nothing yet of an event reads the log up to the client's cursor first."""
    fast, slow = cluster["uvicorn"], cluster["daphne"]
    person = await fast.person()
    task_id = await fast.task(person)
    async with await fast.watching(person) as client:
        slow.server.pause()
        try:
            await fast.burst([task_id], 1)
            position = (await client.wait("task_update", lambda f: "id" in f))["id"]
        finally:
            slow.server.resume()
    async with await slow.socket(person) as again:
        await again.send({"action": "subscribe", "topic": "mine", "after": position})
        answer = await again.wait("subscribed")
    assert answer["recovered"] is True
    assert answer["id"] >= position
    assert not [f for f in again.frames if f["type"] in ("reset", "task_update")]
