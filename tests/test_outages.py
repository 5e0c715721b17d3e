"""A database that does not answer ends a connection with a reason, never in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime import database, views
from realtime.events import Viewer
from realtime.protocol import client
from tests.kit.sse_parser import EventStreamParser
from tests.kit.waiting import aeventually
from tests.peers import Peer, process_hub
from tests.watching import NEVER, log_updates, no_turns, token

Users = Callable[..., Any]

#: The database plays no part here: one engine is enough.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

#: More than one page.
MISSED = 700


@pytest.fixture(autouse=True)
def when_told(settings: Any) -> None:
    """Whoever comes back must read the log: the hub remembers next to nothing."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": 1}


@pytest.mark.requirement("F4")
async def test_a_database_that_hangs_before_a_replay_closes_the_socket(
    engine: str, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`error` unavailable and 4500: the client backs off and comes back with its cursor."""
    user = await database.run(make_user)
    async with process_hub() as hub, Peer(token(user)) as peer:
        await peer.wait("connected")
        cursor = hub.position
        await database.run(log_updates, str(user.pk), 5)
        await hub.check()
        monkeypatch.setattr(database, "DEADLINE", 0.2)
        async with no_turns():
            peer.say(action="subscribe", topic="mine", after=cursor)
            assert await peer.wait_closed() == 4500
        assert [frame["type"] for frame in peer.frames] == ["connected", "error"]
        assert peer.frames[-1]["code"] == "unavailable"
        assert hub.directory.subscribers == set()


@pytest.mark.requirement("F4")
async def test_a_database_that_hangs_in_a_replay_closes_the_socket(
    engine: str, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is delivered, then the reason; the cursor it leaves brings the rest, once."""
    user = await database.run(make_user)
    async with process_hub() as hub:
        cursor = hub.position
        await database.run(log_updates, str(user.pk), MISSED)
        await hub.check()
        async with Peer(token(user)) as peer:
            await peer.wait("connected")
            peer.can_send.clear()
            peer.say(action="subscribe", topic="mine", after=cursor)
            await aeventually(lambda: "task_update" in peer.sending.get("text", ""))
            with monkeypatch.context() as impatient:
                impatient.setattr(database, "DEADLINE", 0.2)
                async with no_turns():
                    peer.can_send.set()
                    assert await peer.wait_closed() == 4500
            assert peer.frames[-1]["code"] == "unavailable"
        told = [frame["id"] for frame in peer.frames if frame["type"] == "task_update"]
        assert 0 < len(told) < MISSED
        async with Peer(token(user)) as peer:
            peer.say(action="subscribe", topic="mine", after=told[-1])
            await peer.wait("subscribed")
            told += [frame["id"] for frame in peer.frames if frame["type"] == "task_update"]
        assert told == list(range(cursor + 1, cursor + MISSED + 1))


@pytest.mark.requirement("F4")
async def test_a_database_that_hangs_ends_a_stream_with_a_reason(
    engine: str, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event stream has no close code: its last event is the error."""
    user = await database.run(make_user)
    async with process_hub() as hub:
        cursor = hub.position
        await database.run(log_updates, str(user.pk), 5)
        await hub.check()
        monkeypatch.setattr(database, "DEADLINE", 0.2)
        parser = EventStreamParser()
        async with no_turns():
            asked = client.Subscribe(topic="mine", after=cursor)
            body = views._body(hub, Viewer(str(user.pk)), asked)
            events = [event async for chunk in body for event in parser.feed(chunk)]
        assert [event.event for event in events] == ["connected", "error"]
        assert events[-1].json["code"] == "unavailable"
        assert hub.directory.subscribers == set()


@pytest.mark.requirement("F4")
async def test_a_database_that_hangs_at_a_fresh_subscribe_closes_nothing(
    engine: str, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a state to stay in: the client hears it and may ask again."""
    user = await database.run(make_user)
    async with process_hub(), Peer(token(user)) as peer:
        await peer.wait("connected")
        with monkeypatch.context() as impatient:
            impatient.setattr(database, "DEADLINE", 0.2)
            async with no_turns():
                peer.say(action="subscribe", topic="mine", request_id=1)
                error = await peer.wait("error")
        assert (error["code"], error["request_id"]) == ("unavailable", 1)
        peer.say(action="subscribe", topic="mine", request_id=2)
        assert (await peer.wait("subscribed"))["request_id"] == 2
        assert peer.close_code is None
