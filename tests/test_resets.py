"""What a client asked for before a reset, or during one, is still answered, and by its rights of now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from realtime import database, log
from realtime.events import Viewer
from realtime.exceptions import RIGHTS_CHANGED, Refused
from realtime.hub import Hub
from realtime.models import Task
from realtime.protocol import client
from tests.kit.waiting import aeventually
from tests.watching import Watcher, no_turns, token, when_told

__all__ = ["when_told"]

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]


@asynccontextmanager
async def reset_during(watcher: Watcher, asked: client.ClientMessage) -> AsyncIterator[None]:
    """Rebase the log while the look-up of a message is under way; in the block it has been answered."""
    async with no_turns():
        watcher.ask(asked)
        answer = asyncio.create_task(watcher.next())
        await aeventually(lambda: watcher.stream.commands._lookup is not None)
        await database.run_now(log.rebase)
        await watcher.stream.hub.check()
    await answer
    await watcher.until("reset")
    yield


async def watching(hub: Hub, viewer: Viewer, **asked: Any) -> Watcher:
    """Return a client that has subscribed, to `mine` unless told otherwise."""
    watcher = Watcher(hub, viewer)
    watcher.ask(client.Subscribe(**(asked or {"topic": "mine"})))
    await watcher.until("subscribed")
    return watcher


@pytest.mark.requirement("S7")
async def test_an_authenticate_under_way_is_answered_after_the_reset(hubs: Hubs, make_user: Users) -> None:
    """A client that renews its token in time must not be left to expire."""
    user = await database.run(make_user)
    hub = await hubs()
    with await watching(hub, Viewer(str(user.pk))) as watcher:
        renew = client.Authenticate(token=token(user), request_id="renew")
        async with reset_during(watcher, renew):
            await watcher.until("authenticated", lambda frame: frame["request_id"] == "renew")
        assert watcher.types.count("reset") == 1
        assert watcher.types.count("subscribed") == 2


@pytest.mark.requirement("S7")
async def test_a_subscribe_under_way_is_served_after_the_reset(hubs: Hubs, make_user: Users) -> None:
    """First everything the client had, then what it had just asked for, with its row."""
    user = await database.run(make_user)
    task = await database.run(lambda: Task.objects.create(name="import"))
    hub = await hubs()
    with await watching(hub, Viewer(str(user.pk), view_all=True)) as watcher:
        wanted = client.Subscribe(task_id=str(task.pk), request_id="task")
        async with reset_during(watcher, wanted):
            again = await watcher.until("subscribed")
            assert again["topics"] == ["mine"]
            row = await watcher.until("task_update")
            assert row["snapshot"]
            assert row["task_id"] == str(task.pk)
            assert (await watcher.until("subscribed"))["request_id"] == "task"


@pytest.mark.requirement("S7")
async def test_a_first_subscribe_under_way_is_served_once(hubs: Hubs, make_user: Users) -> None:
    """A client that had nothing yet is told of no reset, and gets one answer."""
    user = await database.run(make_user)
    hub = await hubs()
    with Watcher(hub, Viewer(str(user.pk))) as watcher:
        async with no_turns():
            watcher.ask(client.Subscribe(topic="mine", request_id="first"))
            answer = asyncio.create_task(watcher.next())
            await aeventually(lambda: watcher.stream.commands._lookup is not None)
            await database.run_now(log.rebase)
            await hub.check()
        await answer
        assert (await watcher.until("subscribed"))["request_id"] == "first"
        await watcher.settled()
        assert watcher.types == ["connected", "subscribed", "pong"]


@pytest.mark.requirement("S7")
@pytest.mark.requirement("W12")
async def test_a_resume_that_is_reset_does_not_get_a_topic_without_the_right(hubs: Hubs) -> None:
    """The topic is refused, and the answer that ends the reset does not name it."""
    hub = await hubs()
    with Watcher(hub, Viewer("1")) as watcher:
        watcher.ask(client.Subscribe(topic="tasks", after=1, request_id=7))
        await watcher.until("reset")
        error = await watcher.until("error")
        assert (error["code"], error["topic"], error["request_id"]) == ("forbidden", "tasks", 7)
        subscribed = await watcher.until("subscribed")
        assert subscribed["topics"] == []
        assert "tasks" not in watcher.stream.subscriber.keys


@pytest.mark.requirement("S7")
@pytest.mark.requirement("W12")
async def test_a_resume_that_is_reset_gets_the_rest(hubs: Hubs) -> None:
    """What may be had is served, though one of its topics is refused."""
    hub = await hubs()
    with Watcher(hub, Viewer("1")) as watcher:
        watcher.ask(client.Subscribe(topics=["tasks", "mine"], after=1))
        await watcher.until("reset")
        assert (await watcher.until("error"))["topic"] == "tasks"
        assert (await watcher.until("subscribed"))["topics"] == ["mine"]


@pytest.mark.requirement("W14")
async def test_renewing_with_fewer_rights_ends_the_connection(hubs: Hubs, make_user: Users) -> None:
    """The token says that its user may view all tasks no longer, before any recheck has found it."""
    user = await database.run(make_user)
    hub = await hubs()
    with await watching(hub, Viewer(str(user.pk), view_all=True), topic="tasks") as watcher:
        watcher.ask(client.Authenticate(token=token(user)))
        with pytest.raises(Refused) as caught:
            while True:
                await watcher.next()
        assert caught.value.problem is RIGHTS_CHANGED


@pytest.mark.requirement("W14")
async def test_renewing_with_more_rights_brings_them(hubs: Hubs, make_user: Users) -> None:
    """The connection goes on, and may ask for all tasks from now on."""
    user = await database.run(make_user)
    found = Permission.objects.filter(content_type__app_label="realtime", codename="view_task")
    await database.run(lambda: user.user_permissions.add(found.get()))
    hub = await hubs()
    with await watching(hub, Viewer(str(user.pk))) as watcher:
        watcher.ask(client.Authenticate(token=token(user)))
        watcher.ask(client.Subscribe(topic="tasks"))
        await watcher.until("authenticated")
        assert (await watcher.until("subscribed"))["topics"] == ["tasks"]
