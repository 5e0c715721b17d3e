"""A row of the log that cannot be read, as plain SQL may write it: it stops nothing, and is told as gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from realtime import database, log, replay
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.models import Event, Task
from realtime.protocol import client
from realtime.terminal.follow import Follower
from realtime.topics import Subscriptions
from tests.api_caller import Caller
from tests.flows import Sites, told
from tests.watching import Watcher, when_told

__all__ = ["when_told"]

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]

pytestmark = pytest.mark.requirement("F4")


def nested(levels: int) -> str:
    """JSON of so many objects within each other."""
    return '{"secret":' * levels + "1" + "}" * levels


#: What may stand in ``data``; each breaks another of those who would have to read or send it.
DEEP, NO_OBJECT, NO_TEXT = nested(900), "[]", '{"task_id": "\\ud800"}'
#: What only one database takes: SQLite's JSON has no more than 1,000 levels, PostgreSQL's no half characters.
DEEPER = nested(3000)


def write(data: str, owner: Any = None, kind: str = "task_update", topic: str | None = None) -> int:
    """Write the row with plain SQL and return its position."""
    row = {
        "kind": kind,
        "task_id": "9d6a5c1e-0f4e-4b0e-8f5b-3f1d2a7c9e10",
        "owner": str(owner.pk) if owner else "",
        "previous_owner": "",
        "version": 1,
        "data": data,
        "topic": topic,
        "created_at": timezone.now(),
    }
    columns, values = ", ".join(row), ", ".join(["%s"] * len(row))
    with connections[log.database()].cursor() as cursor:
        cursor.execute(f"INSERT INTO realtime_event ({columns}) VALUES ({values})", list(row.values()))
    return log.sequence()[-1].position


async def watching(hub: Hub, user: Any, **asked: Any) -> Watcher:
    """Return a client of that user's that has subscribed, to `mine` unless told otherwise."""
    watcher = Watcher(hub, Viewer(str(user.pk)))
    watcher.ask(client.Subscribe(**{"topic": "mine", **asked}))
    await watcher.until("subscribed")
    return watcher


def made(owner: Any) -> Task:
    """A new task of that user's."""
    task: Task = Task.objects.create(name="import", owner=owner)
    return task


@pytest.mark.parametrize(
    ("engine", "data"),
    [
        ("sqlite", DEEP),
        ("sqlite", NO_OBJECT),
        ("sqlite", NO_TEXT),
        ("postgres", DEEP),
        ("postgres", DEEPER),
        ("postgres", NO_OBJECT),
    ],
    indirect=["engine"],
    ids=lambda value: value if len(value) < 30 else f"{value.count('{')} levels",
)
async def test_whom_it_concerns_begins_afresh_and_all_goes_on(
    hubs: Hubs, make_user: Users, data: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner is told `reset` and how things are; others notice nothing; the log says it once."""
    caplog.set_level(logging.ERROR, "realtime")
    ann, bob = await database.run(make_user), await database.run(make_user)
    before = await database.run(made, ann)
    hub = await hubs()
    with await watching(hub, ann) as hers, await watching(hub, bob) as his:
        position = await database.run(write, data, ann)
        after, other = await database.run(made, ann), await database.run(made, bob)
        await hub.check()
        assert hub.position == await database.run(log.position) > position
        assert (await hers.until("reset"))["reason"] == "expired"
        rows = {(await hers.until("task_update"))["task_id"] for _ in range(2)}
        assert rows == {str(before.pk), str(after.pk)}
        assert (await hers.until("subscribed"))["position"] > position
        assert (await his.until("task_update"))["task_id"] == str(other.pk)
        assert "reset" not in his.types
    (record,) = caplog.records
    assert str(position) in record.getMessage()
    assert "secret" not in caplog.text


async def test_who_comes_back_over_it(hubs: Hubs, make_user: Users) -> None:
    """After a restart, too: the owner's cursor is of no use, the others' are; all events after it come."""
    ann, bob = await database.run(make_user), await database.run(make_user)
    cursor = await database.run(log.position)
    await database.run(write, DEEP, ann)
    task = await database.run(made, bob)
    for hub in (await hubs(), await hubs()):
        with Watcher(hub, Viewer(str(ann.pk))) as hers, Watcher(hub, Viewer(str(bob.pk))) as his:
            for watcher in (hers, his):
                watcher.ask(client.Subscribe(topic="mine", after=cursor))
            assert (await hers.until("reset"))["reason"] == "expired"
            assert (await hers.until("subscribed"))["recovered"] is False
            assert (await his.until("task_update"))["task_id"] == str(task.pk)
            assert (await his.until("subscribed"))["recovered"] is True
            assert "reset" not in his.types


async def test_of_an_own_topic_and_of_a_broadcast(hubs: Hubs, make_user: Users) -> None:
    """Whom it was for cannot be known: whoever watches the topic, or hears broadcasts, begins afresh."""
    user = await database.run(make_user)
    hub = await hubs()
    audience = '{"event": "written", "data": {}, "audience": ["staff"]}'
    with await watching(hub, user, topic="news") as watcher:
        for kind, data, topic in (
            ("topic_event", DEEP, "news"),
            ("topic_event", audience, "news"),
            ("broadcast", DEEP, None),
        ):
            await database.run(write, data, None, kind, topic)
            await hub.check()
            assert (await watcher.until("reset"))["reason"] == "expired"
            await watcher.until("subscribed")
        await database.run(write, '{"event": "written", "data": {"n": 1}}', None, "topic_event", "news")
        await hub.check()
        assert (await watcher.until("topic_event"))["data"] == {"n": 1}


def test_who_polls_and_who_reads_the_log(engine: str, make_user: Users) -> None:
    """The same over HTTP, once, and on a terminal; the admin's page of the event says what is the matter."""
    ann, staff = Caller(make_user()), make_user(is_staff=True, is_superuser=True)
    follower = Follower(Subscriptions(topics=["mine"]), Viewer(str(ann.user.pk)))
    follower.snapshot()
    after = ann.get("/api/events/").json()["position"]
    position = write(DEEP, ann.user)
    task = ann.task()
    body = ann.get(f"/api/events/?after={after}").json()
    assert (body["reset"], [frame["task_id"] for frame in body["events"]]) == ("expired", [str(task.pk)])
    again = ann.get(f"/api/events/?after={body['position']}").json()
    assert (again["reset"], again["events"]) == (None, [])
    assert [event.type for event in follower.news()] == ["reset", "task_update", "subscribed"]
    assert [event.type for event in follower.news()] == []
    assert [event.unreadable for event in replay.read(after, log.position())] == [True, False]
    ann.client.force_login(staff)
    pk = Event.objects.get(position=position).pk
    page = ann.client.get(f"/admin/realtime/event/{pk}/change/").content.decode()
    assert "It cannot be read." in page


@pytest.mark.parametrize(("profile", "data"), [("embedded", NO_TEXT), ("cluster", DEEPER)])
async def test_a_server_stays_ready(sites: Sites, profile: str, data: str) -> None:
    """On either database: others' events go on arriving, and /readyz is 200 with the hub at the head."""
    live = sites.live(profile, "uvicorn")
    person = await live.person()
    socket = await live.watching(person)
    await live.run(
        "from django.db import connection\n"
        "from realtime import log\n"
        "connection.cursor().execute('INSERT INTO realtime_event "
        "(kind, task_id, owner, previous_owner, version, data, created_at) "
        "VALUES (%s, %s, %s, %s, 0, %s, CURRENT_TIMESTAMP)', ['task_log', 'x', '', '', data])\n"
        "len(log.sequence())",
        data=data,
    )
    task_id = await live.task(person)
    await told(socket, "task_update", lambda frame: frame["task_id"] == task_id)
    await live.level()
    answer = await live.http("GET", "/readyz")
    assert answer.status_code == 200, answer.text
    await asyncio.wait_for(socket.close(), 10)
