"""The right to a project's own topic, asked again: what fails, and what is left then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connections

from realtime import database, publish, rights
from realtime.hub import Hub
from realtime.models import Task
from realtime.protocol import client
from tests.meters import Meter, change, events, meter, subscribed, watcher
from tests.watching import when_told

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]

__all__ = ["meter", "when_told"]


def failing(user: Any, key: str) -> bool:
    """Answer for nobody but who asks for 2: as PostgreSQL's statement_timeout does."""
    if key == "2":
        return False
    raise OperationalError("canceling statement due to statement timeout")


async def test_one_that_fails_keeps_no_other_from_being_asked(
    hubs: Hubs, make_user: Users, meter: Meter
) -> None:
    """Of the same topic or of another: who lost a right loses it, and the one that failed stays for now."""
    user = await database.run(make_user)
    group = await database.run(lambda: Group.objects.create(name="room 7"))
    await database.run(user.groups.add, group)
    hub = await hubs()
    with watcher(hub, user) as first, watcher(hub, user) as second:
        await subscribed(first, "room.7", "news")
        await subscribed(second, "meter.1", "meter.2")
        await database.run(user.groups.clear)
        meter.allows = failing  # type: ignore[method-assign]
        await hub.rights.recheck_topics()
        for watching, topic in ((first, "room.7"), (second, "meter.2")):
            gone = await watching.until("unsubscribed")
            assert (gone["topics"], gone["reason"]) == ([topic], "unknown_topic")
        assert [*first.stream.subscriptions.topics] == ["news"]
        assert [*second.stream.subscriptions.topics] == ["meter.1"]


async def test_who_cannot_be_asked_for_is_let_in_no_longer(
    hubs: Hubs, make_user: Users, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it has failed for long the subscription ends, with a reason; the connection stays."""
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "meter.1", "news")
        meter.allows = failing  # type: ignore[method-assign]
        await hub.rights.recheck_topics()
        assert "meter.1" in watching.stream.subscriptions.topics
        monkeypatch.setattr(rights, "UNDECIDED_LIMIT", 0)
        await hub.rights.recheck_topics()
        gone = await watching.until("unsubscribed")
        assert (gone["topics"], gone["reason"]) == (["meter.1"], "unavailable")
        await change(hub, lambda: publish("meter.1", "after"), lambda: publish("news", "after"))
        await watching.until("topic_event", lambda f: f["topic"] == "news")
    assert events(watching) == [("news", "after", {})]


async def test_an_answer_ends_the_doubt(
    hubs: Hubs, make_user: Users, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failure is forgotten with the next yes."""
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "meter.1")
        meter.allows = failing  # type: ignore[method-assign]
        await hub.rights.recheck_topics()
        meter.allows = lambda user, key: True  # type: ignore[method-assign]
        monkeypatch.setattr(rights, "UNDECIDED_LIMIT", 0)
        await hub.rights.recheck_topics()
        await watching.settled()
    assert "unsubscribed" not in watching.types


async def test_an_outage_of_the_database_throws_nobody_off(
    hubs: Hubs, make_user: Users, meter: Meter, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the log is away there is nothing to tell either; when it is back, the rights are asked for."""
    monkeypatch.setattr(rights, "UNDECIDED_LIMIT", 0)
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "meter.1", "news")
        await database.run(connections.close_all)
        with monkeypatch.context() as away:
            for name, value in {"NAME": "/nowhere/at/all", "PORT": "1"}.items():
                away.setitem(connections.settings[engine], name, value)
            database.close()
            for _ in range(2):
                with pytest.raises(OperationalError):
                    await hub.rights.recheck_topics()
        assert [*watching.stream.subscriptions.topics] == ["meter.1", "news"]
        meter.allowed = False
        await hub.rights.recheck_topics()
        assert (await watching.until("unsubscribed"))["topics"] == ["meter.1"]


@pytest.mark.parametrize("after", [1, "not-a-cursor"])
async def test_a_resume_of_nothing_that_is_left_is_answered(
    hubs: Hubs, make_user: Users, meter: Meter, after: Any
) -> None:
    """A cursor of no use is said to be so, whatever is left of what was asked for."""
    user, meter.allowed = await database.run(make_user), False
    hub = await hubs()
    with watcher(hub, user) as watching:
        watching.ask(client.Subscribe(topics=["meter.1"], after=after, request_id="r1"))
        answer = await watching.until("subscribed")
    assert (answer["recovered"], answer["request_id"], answer["topics"]) == (False, "r1", [])
    assert watching.types == ["connected", "unsubscribed", "reset", "subscribed"]


async def test_who_walks_through_tasks_does_not_grow(hubs: Hubs, make_user: Users) -> None:
    """What a task's snapshot held is forgotten with its subscription, also beside an own topic."""
    user = await database.run(make_user)
    hub = await hubs()
    with watcher(hub, user) as watching:
        await subscribed(watching, "news")
        for number in range(3):
            task = await database.run(lambda n=number: Task.objects.create(name=f"t{n}", owner=user))
            watching.ask(client.Subscribe(task_id=str(task.pk)))
            await watching.until("subscribed")
            watching.ask(client.Unsubscribe(task_id=str(task.pk)))
            await watching.until("unsubscribed")
        assert watching.stream.held.states == {}
