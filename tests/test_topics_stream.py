"""A project's own topics on a connection: who is let in, what he is told, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group

from realtime import database, publish
from realtime.events import Viewer
from realtime.exceptions import Refused
from realtime.hub import Hub
from realtime.protocol import client
from tests.meters import Meter, change, events, meter, subscribed, watcher
from tests.orders.models import Order
from tests.watching import NEVER, Watcher, no_turns, when_told

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]

__all__ = ["meter", "when_told"]


async def test_unknown_and_forbidden_look_the_same(hubs: Hubs, make_user: Users) -> None:
    """Another's order, one that is not there, one that is not written so, no such topic: all the same."""
    owner, other = await database.run(make_user), await database.run(make_user)
    order = await database.run(lambda: Order.objects.create(customer=owner))
    asked = [
        f"order.{order.pk}",
        "order.999999",
        f"order.0{order.pk}",
        "order.x",
        "nothing.1",
        "order",
        "news.1",
    ]
    hub = await hubs()
    with watcher(hub, other) as watching:
        for topic in asked:
            watching.ask(client.Subscribe(topic=topic))
            error = await watching.until("error")
            assert (error.pop("topic"), error.pop("timestamp")[-1]) == (topic, "Z")
            assert error == {"type": "error", "code": "unknown_topic", "message": "Unknown topic."}
        await change(hub, lambda: publish(f"order.{order.pk}", "secret"), lambda: publish("news", "public"))
        await watching.settled()
    assert events(watching) == []


async def test_what_is_granted_is_served_beside_what_is_not(hubs: Hubs, make_user: Users) -> None:
    """One refused topic takes nothing from the others."""
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching:
        assert (await subscribed(watching, "mine", "order.1", "news"))["topics"] == ["mine", "news"]
        await change(hub, lambda: publish("news", "written"))
        await watching.until("topic_event")
    assert events(watching) == [("news", "written", {})]


async def test_an_audience_holds_live_and_at_a_resume(hubs: Hubs, make_user: Users) -> None:
    """Only who is in it is told, and nobody is told of whom it consists."""
    user = await database.run(make_user)
    group = await database.run(lambda: Group.objects.create(name="packers"))
    hub = await hubs()
    viewers = {"out": {}, "staff": {"staff": True}, "packer": {"groups": frozenset({str(group.pk)})}}
    told = {"out": ["all"], "staff": ["all", "to.staff"], "packer": ["all", "to.packers"]}
    for name, rights in viewers.items():
        with watcher(hub, user, **rights) as first, watcher(hub, user, **rights) as second:
            start = (await subscribed(first, "news"))["id"]
            await change(
                hub,
                lambda: publish("news", "all"),
                lambda: publish("news", "to.staff", audience="staff"),
                lambda: publish("news", "to.packers", audience={"kind": "group", "group": "packers"}),
            )
            await first.settled()
            await subscribed(second, "news", after=start)
            for watching in (first, second):
                assert [event for _, event, _ in events(watching)] == told[name]
                assert "packers" not in str([f["data"] for f in watching.frames if "data" in f])


@pytest.mark.parametrize("ring", [1, 20_000], ids=["log", "ring"])
async def test_a_resume_leaves_no_gap(hubs: Hubs, make_user: Users, settings: Any, ring: int) -> None:
    """After a cursor come exactly the events since, in order, whether from the ring or from the log."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": ring}
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as first:
        await subscribed(first, "news", "mine")
        await change(hub, *[lambda n=n: publish("news", f"n{n}") for n in range(5)])
        await first.until("topic_event", lambda f: f["event"] == "n4")
    heard = [frame for frame in first.frames if frame["type"] == "topic_event"][:3]
    await change(hub, lambda: publish("news", "n5"), lambda: publish("order.1", "not.yours"))
    with watcher(hub, user) as second:
        assert (await subscribed(second, "news", "mine", after=heard[-1]["id"]))["recovered"] is True
    assert [event for _, event, _ in events(second)] == ["n3", "n4", "n5"]


async def test_a_right_that_was_withdrawn_ends_the_subscription(
    hubs: Hubs, make_user: Users, meter: Meter
) -> None:
    """``unsubscribed`` says why; nothing of the topic follows, and the rest of the connection goes on."""
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching, watcher(hub, user) as behind:
        for each in (watching, behind):
            await subscribed(each, "meter.1", "meter.2", "news")
        meter.allowed = False
        await change(hub, lambda: publish("meter.1", "before"))
        await hub.rights.recheck_topics()
        await change(hub, lambda: publish("meter.1", "after"), lambda: publish("news", "after"))
        for each in (watching, behind):
            gone = await each.until("unsubscribed")
            assert (sorted(gone["topics"]), gone["reason"]) == (["meter.1", "meter.2"], "unknown_topic")
            await each.until("topic_event", lambda f: f["topic"] == "news")
            types = [(f["type"], f.get("event")) for f in each.frames]
            assert ("topic_event", "after") in types
            assert [e for e in events(each) if e[1] == "after"] == [("news", "after", {})]


async def test_what_was_being_read_when_the_right_ended_is_not_sent(
    hubs: Hubs, make_user: Users, meter: Meter, settings: Any
) -> None:
    """A page of the log that was asked for before is for the subscriptions of then."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": 1}
    user = await database.run(make_user)
    hub = await hubs()
    start = hub.position
    await change(hub, *[lambda: publish("meter.1", "late")] * 3, lambda: publish("news", "read"))
    with watcher(hub, user) as watching:
        watching.ask(client.Subscribe(topics=["meter.1", "news"], after=start))
        while not watching.stream.subscriptions:
            await watching.stream.subscriber.wait()
            watching.stream._work()
        async with no_turns():
            watching.stream._work()
            assert not watching.stream.caught_up
        meter.allowed = False
        await hub.rights.recheck_topics()
        await watching.until("subscribed")
    assert events(watching) == [("news", "read", {})]


async def test_a_resume_asks_first(hubs: Hubs, make_user: Users, meter: Meter) -> None:
    """Who may not see a topic any more is told so, and of what he missed only the rest."""
    user = await database.run(make_user)
    hub = await hubs()
    start = hub.position
    await change(hub, lambda: publish("meter.1", "missed"), lambda: publish("news", "missed"))
    meter.allowed = False
    with watcher(hub, user) as watching:
        assert (await subscribed(watching, "meter.1", "news", after=start))["topics"] == ["news"]
    assert watching.types == ["connected", "unsubscribed", "topic_event", "subscribed"]
    assert (watching.frames[1]["topics"], watching.frames[1]["reason"]) == (["meter.1"], "unknown_topic")
    assert "id" not in watching.frames[1]
    assert events(watching) == [("news", "missed", {})]


async def test_code_that_fails_lets_nobody_in(hubs: Hubs, make_user: Users, meter: Meter) -> None:
    """A permission that cannot be asked is none; nor is what is neither yes nor no."""
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching:
        for answer in (lambda user, key: 1 / 0, lambda user, key: "no", lambda user, key: object()):
            meter.allows = answer  # type: ignore[method-assign,assignment,return-value]
            watching.ask(client.Subscribe(topic="meter.1"))
            assert (await watching.until("error"))["code"] == "unknown_topic"


async def test_an_inactive_user_has_no_topics(hubs: Hubs, make_user: Users) -> None:
    """An account that is closed or gone is let in nowhere."""
    user = await database.run(lambda: make_user(is_active=False))
    hub = await hubs()
    for viewer in (Viewer(str(user.pk)), Viewer("999999")):
        with Watcher(hub, viewer) as watching:
            watching.ask(client.Subscribe(topic="news"))
            assert (await watching.until("error"))["code"] == "unknown_topic"


async def test_a_right_that_cannot_be_asked_for_keeps_nobody_waiting(
    hubs: Hubs, make_user: Users, meter: Meter
) -> None:
    """The database is away at a resume: the client is sent away, and comes back with its cursor."""
    user = await database.run(make_user)
    hub = await hubs()

    async def failing(topics: Any, viewer: Any) -> set[str]:
        raise TimeoutError

    hub.reader.granted = failing  # type: ignore[method-assign]
    with watcher(hub, user) as watching:
        watching.ask(client.Subscribe(topic="meter.1", after=hub.position))
        with pytest.raises(Refused):
            await watching.until("subscribed")
