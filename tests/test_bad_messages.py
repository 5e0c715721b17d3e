"""Bad messages are answered, counted and bounded, whatever is wrong with them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from realtime import database
from realtime.consumers import BAD_MESSAGES
from realtime.stream.commands import PENDING_LIMIT
from tests.kit.waiting import aeventually
from tests.peers import Peer, process_hub
from tests.watching import token

Users = Callable[..., Any]


@pytest.fixture(autouse=True)
def hasty(settings: Any) -> None:
    """Clients may send as fast as they like: bad messages are counted, not fast ones."""
    settings.REALTIME = {"MESSAGE_BURST": 100_000}


#: The database plays no part here: one engine is enough.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

BAD: dict[str, dict[str, Any]] = {
    "bad-uuid": {"action": "subscribe", "task_id": "nope"},
    "bad-uuid-among-good": {"action": "subscribe", "task_ids": [str(uuid.UUID(int=1)), "nope"]},
    "bad-uuid-unsubscribed": {"action": "unsubscribe", "task_id": "nope"},
    "unknown-topic": {"action": "subscribe", "topic": "every.thing.there"},
    "unknown-topic-unsubscribed": {"action": "unsubscribe", "topic": "every.thing.there"},
    "missing-choice": {"action": "subscribe"},
    "missing-token": {"action": "authenticate"},
    "unknown-action": {"action": "fly"},
    "no-action": {},
}


@pytest.mark.requirement("W11")
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_ten_of_a_kind_close_the_socket(engine: str, make_user: Users, bad: dict[str, Any]) -> None:
    """Each of the ten is answered, then the socket is closed: 4400."""
    user = await database.run(make_user)
    async with process_hub(), Peer(token(user)) as peer:
        for _ in range(BAD_MESSAGES + 20):
            peer.say(**bad)
        assert await peer.wait_closed() == 4400
        errors = [frame["code"] for frame in peer.frames if frame["type"] == "error"]
        assert BAD_MESSAGES < len(errors) <= PENDING_LIMIT
        assert errors[-1] == "too_many_bad_messages"


@pytest.mark.requirement("W11")
async def test_kinds_count_together_and_a_good_message_starts_anew(engine: str, make_user: Users) -> None:
    """Nine bad ones of all kinds, a good one, nine more: the socket stays; the tenth in a row closes it."""
    user = await database.run(make_user)
    kinds = [*BAD.values()][: BAD_MESSAGES - 1]
    async with process_hub(), Peer(token(user)) as peer:
        for number in (1, 2):
            for bad in kinds:
                peer.say(**bad)
            peer.say(action="ping", t=number)
        await aeventually(lambda: [f["t"] for f in peer.frames if f["type"] == "pong"] == [1, 2])
        assert len([f for f in peer.frames if f["type"] == "error"]) == 2 * len(kinds)
        for bad in [*kinds, kinds[0]]:
            peer.say(**bad)
        assert await peer.wait_closed() == 4400


@pytest.mark.requirement("W11")
async def test_a_task_that_is_not_found_is_no_bad_message(engine: str, make_user: Users) -> None:
    """A page may hold the ids of many tasks that are gone: its words are right, and the socket stays."""
    user = await database.run(make_user)
    async with process_hub(), Peer(token(user)) as peer:
        for number in range(2 * BAD_MESSAGES):
            peer.say(action="subscribe", task_id=str(uuid.UUID(int=number)))
        peer.say(action="subscribe", topic="mine")
        await peer.wait("subscribed")
        codes = [frame["code"] for frame in peer.frames if frame["type"] == "error"]
        assert codes == ["not_found"] * 2 * BAD_MESSAGES
        assert peer.close_code is None


@pytest.mark.requirement("F3")
@pytest.mark.requirement("W11")
async def test_complaints_to_a_client_that_does_not_read_are_bounded(engine: str, make_user: Users) -> None:
    """A good message after each bad one resets the count, and yet the answers do not grow without end."""
    user = await database.run(make_user)
    async with process_hub(), Peer(token(user)) as peer:
        await peer.wait("connected")
        peer.can_send.clear()
        for number in range(1000):
            peer.say(action="subscribe", task_id="nope", request_id="x" * 100)
            peer.say(action="pong", t=number)
        await aeventually(lambda: peer.unread == 0)
        peer.can_send.set()
        assert await peer.wait_closed() == 4400
        assert len(peer.frames) <= PENDING_LIMIT + 10
        assert peer.frames[-1]["code"] == "too_many_bad_messages"


@pytest.mark.requirement("F3")
async def test_complaints_that_are_read_are_not_limited(engine: str, make_user: Users) -> None:
    """Who reads the answers may go on for ever: the bound is of what waits, not of what has been said."""
    user = await database.run(make_user)
    async with process_hub(), Peer(token(user)) as peer:
        for number in range(3 * PENDING_LIMIT):
            peer.say(action="subscribe", task_id="nope")
            peer.say(action="ping", t=number)
            if number % 16 == 15:
                await aeventually(lambda n=number: any(f.get("t") == n for f in peer.frames))
        assert len([f for f in peer.frames if f["type"] == "error"]) == 3 * PENDING_LIMIT
        assert peer.close_code is None
