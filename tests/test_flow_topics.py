"""A project's own topics on real servers, over both transports and by polling."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows import Live, Person, told
from tests.kit.sockets import SocketClient
from tests.kit.streams import StreamClient

HOW = pytest.mark.parametrize("how", ["socket", "stream"])


async def order_of(live: Live, person: Person) -> int:
    """Make an order of that person's; return its key."""
    return int(await live.run("Order.objects.create(customer_id=owner).pk", owner=person.id))


async def come(
    live: Live, how: str, person: Person, *topics: str, after: int | None = None
) -> SocketClient | StreamClient:
    """Connect and subscribe."""
    if how == "stream":
        last = None if after is None else str(after)
        return await live.stream(person, topics=list(topics), last_event_id=last)
    client = await live.socket(person)
    await client.send({"action": "subscribe", "topics": list(topics), "after": after})
    return client


def orders(client: SocketClient | StreamClient) -> list[tuple[str, Any]]:
    """Event and status of all that came of an order."""
    return [(f["event"], f["data"].get("status")) for f in client.frames if f["type"] == "topic_event"]


@HOW
async def test_an_order_is_as_easy_as_a_task(live: Live, how: str) -> None:
    """Snapshot, live changes, a cut, and on from the cursor over the same or the other transport."""
    person = await live.person()
    pk = await order_of(live, person)
    topic = f"order.{pk}"
    change = "for status in statuses:\n    Order.objects.filter(pk=pk).update(status=status)"
    first = await come(live, how, person, topic, "mine")
    assert (await told(first, "subscribed"))["topics"] == [topic, "mine"]
    await live.run(change, pk=pk, statuses=["paid", "packed"])
    packed = await told(first, "topic_event", lambda f: f["data"]["status"] == "packed")
    assert packed["topic"] == topic
    await first.cut()
    await live.run(change, pk=pk, statuses=["sent", "there"])
    other = {"socket": "stream", "stream": "socket"}[how]
    async with await come(live, other, person, topic, "mine", after=packed["id"]) as second:
        assert (await told(second, "subscribed"))["recovered"] is True
        await live.run(
            "from realtime import publish\npublish(topic, 'praised', {'status': 'five stars'})", topic=topic
        )
        await told(second, "topic_event", lambda f: f["event"] == "praised")
    assert orders(first) == [("snapshot", "new"), ("changed", "paid"), ("changed", "packed")]
    assert orders(second) == [("changed", "sent"), ("changed", "there"), ("praised", "five stars")]


@HOW
async def test_a_withdrawn_right_ends_the_subscription_in_time(live: Live, how: str) -> None:
    """Within five seconds, though nothing tells the server of it; the connection goes on."""
    person, other = await live.person(), await live.person()
    pk = await order_of(live, person)
    async with await come(live, how, person, f"order.{pk}", "news") as client:
        await told(client, "subscribed")
        await live.run("Order.objects.filter(pk=pk).update(customer_id=other)", pk=pk, other=other.id)
        gone = await told(client, "unsubscribed", timeout=30)
        assert (gone["topics"], gone["reason"]) == ([f"order.{pk}"], "unknown_topic")
        await live.run(
            "from realtime import publish\n"
            "Order.objects.filter(pk=pk).update(status='secret')\n"
            "publish('news', 'written', {'status': 'public'})",
            pk=pk,
        )
        await told(client, "topic_event", lambda f: f["topic"] == "news")
    assert orders(client) == [("snapshot", "new"), ("written", "public")]


async def test_a_forbidden_stream_does_not_begin(live: Live) -> None:
    """400 as for a topic that there is not: before the stream, and alike for those who poll."""
    person, other = await live.person(), await live.person()
    pk = await order_of(live, person)
    headers = {"Authorization": f"Bearer {other.token}"}
    for path in ("/events", "/api/events/"):
        answers = []
        for topic in (f"order.{pk}", "order.999999", "nothing.1", "mine.1"):
            for after in ("", "&last_event_id=1" if path == "/events" else "&after=1"):
                answer = await live.http("GET", f"{path}?topic={topic}{after}", headers=headers)
                assert answer.status_code == 400
                answers.append(answer.json()["code"])
                assert topic in answer.json()["message"]
        assert set(answers) == {"invalid_parameter"}


async def test_those_who_poll_are_told_the_same(live: Live) -> None:
    """A snapshot, then the events after its position, each the frame of a socket."""
    person = await live.person()
    pk = await order_of(live, person)
    headers, topic = {"Authorization": f"Bearer {person.token}"}, f"order.{pk}"
    body = (await live.http("GET", f"/api/events/?topic={topic}", headers=headers)).json()
    (state,) = body["events"]
    assert (state["type"], state["event"], state["snapshot"]) == ("topic_event", "snapshot", True)
    async with await come(live, "socket", person, topic) as client:
        await told(client, "subscribed")
        await live.run("Order.objects.filter(pk=pk).update(status='paid')", pk=pk)
        frame = await told(client, "topic_event", lambda f: f["event"] == "changed")
    query = f"/api/events/?topic={topic}&after={body['position']}"
    assert (await live.http("GET", query, headers=headers)).json()["events"] == [frame]
