"""A refusal ends a stream at once, however much there is to send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from realtime.events import Viewer
from realtime.exceptions import RIGHTS_CHANGED, TOKEN_EXPIRED, USER_INACTIVE, Problem, Refused
from realtime.hub import Hub
from realtime.protocol import client
from tests.watching import NEVER, Watcher, event

Hubs = Callable[..., Awaitable[Hub]]

#: The database plays no part here: one engine is enough.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def quiet_log(settings: Any) -> None:
    """The events come from the test, not from the log."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER}


async def watching(hub: Hub, viewer: Viewer) -> Watcher:
    """Return a client of its own tasks that has been served everything."""
    watcher = Watcher(hub, viewer)
    watcher.ask(client.Subscribe(topic="mine"))
    await watcher.until("subscribed")
    return watcher


async def deliver_until_refused(hub: Hub, watcher: Watcher) -> Refused:
    """Have an event waiting whenever the stream is asked, until it refuses."""
    async with asyncio.timeout(10):
        while True:
            hub.receive([event(hub.position + 1)])
            try:
                await watcher.next()
            except Refused as refused:
                return refused
            await asyncio.sleep(0)


@pytest.mark.requirement("F6")
@pytest.mark.parametrize("problem", [USER_INACTIVE, RIGHTS_CHANGED, TOKEN_EXPIRED], ids=lambda p: p.code)
async def test_a_refusal_ends_a_busy_stream(hubs: Hubs, problem: Problem) -> None:
    """Events that keep coming without a pause do not put it off: not one is delivered after it."""
    hub = await hubs()
    with await watching(hub, Viewer("1")) as watcher:
        before = len(watcher.frames)
        watcher.stream.refuse(Refused(problem))
        refused = await deliver_until_refused(hub, watcher)
        assert refused.problem is problem
        assert watcher.frames[before:] == []


async def test_what_was_queued_before_a_refusal_is_still_said(hubs: Hubs) -> None:
    """An error that explains it comes first, then the refusal; nothing that arrives in between."""
    hub = await hubs()
    with await watching(hub, Viewer("1")) as watcher:
        watcher.stream.error(RIGHTS_CHANGED)
        watcher.stream.refuse(Refused(RIGHTS_CHANGED))
        hub.receive([event(hub.position + 1)])
        assert [frame["type"] for frame in await watcher.next()] == ["error"]
        with pytest.raises(Refused):
            await watcher.next()


async def test_the_first_refusal_counts(hubs: Hubs) -> None:
    """Whoever is refused twice hears the first reason."""
    with await watching(await hubs(), Viewer("1")) as watcher:
        watcher.stream.refuse(Refused(USER_INACTIVE))
        watcher.stream.refuse(Refused(TOKEN_EXPIRED))
        with pytest.raises(Refused) as caught:
            await watcher.next()
        assert caught.value.problem is USER_INACTIVE


@pytest.mark.requirement("W14")
async def test_an_expired_token_ends_a_busy_stream(hubs: Hubs) -> None:
    """The end of the credential is noticed between two events of a client that is never quiet."""
    hub = await hubs()
    with await watching(hub, Viewer("1", expires_at=time.time() + 0.1)) as watcher:
        refused = await deliver_until_refused(hub, watcher)
        assert refused.problem is TOKEN_EXPIRED
        assert any(frame["type"] == "task_update" for frame in watcher.frames)


@pytest.mark.requirement("W14")
async def test_a_lost_right_ends_a_stream_in_the_middle_of_a_replay(hubs: Hubs, settings: Any) -> None:
    """Who may see less now gets none of the missed events that were not yet sent."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "BUFFER_BYTES": 2000}
    hub = await hubs()
    start = hub.position
    hub.receive([event(start + number) for number in range(1, 101)])
    with Watcher(hub, Viewer("2", view_all=True)) as watcher:
        watcher.ask(client.Subscribe(topic="tasks", after=start))
        await watcher.until("task_update")
        told = len(watcher.frames)
        watcher.stream.see_as(Viewer("2"))
        with pytest.raises(Refused) as caught:
            await watcher.next()
        assert caught.value.problem is RIGHTS_CHANGED
        assert len(watcher.frames) == told < 100


async def test_a_refusal_wakes_a_stream_that_waits(hubs: Hubs) -> None:
    """A quiet client is told as soon as a busy one."""
    with await watching(await hubs(), Viewer("1")) as watcher:
        waiting = asyncio.create_task(watcher.next())
        await asyncio.sleep(0)
        watcher.stream.refuse(Refused(USER_INACTIVE))
        with pytest.raises(Refused):
            await waiting
        assert "task_update" not in json.dumps(watcher.frames)
