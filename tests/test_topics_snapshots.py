"""The snapshot of a project's own topic: how things are, and everything that happened since, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from realtime import database, publish
from realtime.hub import Hub
from realtime.protocol import client
from tests.meters import Meter, change, events, meter, subscribed, watcher
from tests.orders.models import Order
from tests.watching import when_told

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]

__all__ = ["meter", "when_told"]


async def test_snapshot_then_events(hubs: Hubs, make_user: Users) -> None:
    """First how things are, without an id; then ``subscribed``; then each event with its position."""
    user = await database.run(make_user)
    order = await database.run(lambda: Order.objects.create(customer=user))
    topic, hub = f"order.{order.pk}", await hubs()
    state = {"status": "new", "total": "0.00", "contact": {}, "packers": None}
    with watcher(hub, user) as watching:
        acknowledged = await subscribed(watching, topic)
        assert (acknowledged["topics"], acknowledged["topic"]) == ([topic], topic)
        await change(hub, lambda: Order.objects.update(status="paid"), lambda: publish(topic, "seen"))
        await watching.until("topic_event", lambda f: f["event"] == "seen")
    assert [frame["type"] for frame in watching.frames[1:]] == ["topic_event", "subscribed"] + [
        "topic_event"
    ] * 2
    assert events(watching) == [
        (topic, "snapshot", state),
        (topic, "changed", state | {"status": "paid"}),
        (topic, "seen", {}),
    ]
    ids = [frame.get("id") for frame in watching.frames[1:]]
    assert ids == [None, hub.position - 2, hub.position - 1, hub.position]
    assert watching.frames[1]["snapshot"] is True


async def test_a_snapshot_that_is_ahead_of_the_process_is_not_told_again(
    hubs: Hubs, make_user: Users, meter: Meter
) -> None:
    """The log was further than this process's hub: what the snapshot holds does not come after it."""
    user, meter.state = await database.run(make_user), {"level": 2}
    hub = await hubs()
    for number in (1, 2):
        await database.run(publish, "meter.1", "level", {"level": number})
    with watcher(hub, user) as watching:
        await subscribed(watching, "meter.1")
        await change(hub, lambda: publish("meter.1", "level", {"level": 3}))
        await watching.until("topic_event", lambda f: f["data"] == {"level": 3})
    assert [data["level"] for _, _, data in events(watching)] == [2, 3]


async def test_who_watches_already_misses_nothing(hubs: Hubs, make_user: Users, meter: Meter) -> None:
    """A second subscribe brings a fresh snapshot; events on their way to the first come all the same."""
    user, meter.state = await database.run(make_user), {"level": 2}
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "meter.1")
        await database.run(publish, "meter.1", "level", {"level": 1})
        await subscribed(watching, "meter.1")
        await change(hub, lambda: publish("meter.1", "level", {"level": 3}))
        await watching.until("topic_event", lambda f: f["data"] == {"level": 3})
    assert [data["level"] for _, _, data in events(watching)] == [2, 2, 1, 3]


async def test_nothing_falls_between_snapshot_and_events(hubs: Hubs, make_user: Users, meter: Meter) -> None:
    """What happens while the snapshot is read is told after it: the last word is the latest."""
    user = await database.run(make_user)
    hub = await hubs()

    def read() -> dict[str, Any]:
        # Between the reading of this row and its arrival.
        publish("meter.1", "level", {"level": 2})
        return {"level": 1}

    meter.state = read
    with watcher(hub, user) as watching:
        await subscribed(watching, "news")
        watching.ask(client.Subscribe(topic="meter.1"))
        while watching.stream.commands._lookup is None:
            watching.stream._work()
        await watching.stream.commands._lookup
        await change(hub, lambda: publish("news", "goes.on"))
        await watching.until("topic_event", lambda f: f["event"] == "goes.on")
        await watching.until("subscribed")
    assert events(watching)[-2:] == [
        ("meter.1", "snapshot", {"level": 1}),
        ("meter.1", "level", {"level": 2}),
    ]
    assert [f.get("snapshot") for f in watching.frames if f.get("topic") == "meter.1"][:2] == [True, True]


@pytest.mark.parametrize("state", [[1], {"x": float("nan")}, {"text": "x" * 70_000}, lambda: 1 / 0])
async def test_a_snapshot_that_cannot_be_sent_is_said(
    hubs: Hubs, make_user: Users, meter: Meter, state: Any
) -> None:
    """The fault is in the project's log; the client is told, and keeps what it has."""
    user, meter.state = await database.run(make_user), state
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "news")
        watching.ask(client.Subscribe(topic="meter.1"))
        assert (await watching.until("error"))["code"] == "internal"
        await watching.settled()
        assert list(watching.stream.subscriptions.topics) == ["news"]


async def test_a_reset_asks_again(hubs: Hubs, make_user: Users, meter: Meter) -> None:
    """A cursor of no use: fresh snapshots of what may still be seen."""
    user, meter.state = await database.run(make_user), {"level": 1}
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "meter.1", "news", after=1)
    assert watching.types == ["connected", "reset", "topic_event", "subscribed"]
    assert events(watching) == [("meter.1", "snapshot", {"level": 1})]
