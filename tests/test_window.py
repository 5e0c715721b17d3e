"""A server that never makes us wait: what a client has not read is bounded by the pings it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from realtime import database, metrics
from realtime.conf import conf
from realtime.stream import Window
from realtime.stream.commands import PENDING_LIMIT
from realtime.stream.window import PARTS
from realtime.subscriber import Subscriber
from tests.answering import WINDOW, Answering
from tests.kit.waiting import aeventually
from tests.peers import Peer, process_hub
from tests.watching import NEVER, token

#: Most that is written beyond the window: the event that fills it, with its envelope, and a ping.
OVER = 2_500


@pytest.fixture(autouse=True)
def narrow(settings: Any) -> None:
    """A small window, and nothing but it: no timer speaks, and messages are all but forbidden."""
    settings.REALTIME = {
        "WRITE_WINDOW": WINDOW,
        "LOG_CHECK_INTERVAL": NEVER,
        "PING_INTERVAL": NEVER,
        "PONG_TIMEOUT": 2 * NEVER,
        "SEND_TIMEOUT": 60,
        "MESSAGE_RATE": 0.01,
        "MESSAGE_BURST": 5,
    }


@pytest.fixture
async def watched(transactional_db: None) -> Callable[[], Any]:
    """Let a user's client come in."""
    user = await database.run(get_user_model().objects.create_user, "reader")

    @asynccontextmanager
    async def come() -> AsyncIterator[Answering]:
        async with process_hub() as hub, Peer(token(user)) as peer:
            peer.say(action="subscribe", topic="mine")
            await peer.wait("subscribed")
            yield Answering(hub, peer, str(user.pk))

    return come


@pytest.mark.requirement("F3")
async def test_writing_stops_at_the_window_and_goes_on_after_the_pong(watched: Any) -> None:
    """Nothing beyond the window is written or kept; after the pongs every event comes once, in order."""
    async with watched() as client:
        await client.learn()
        before, stalls = client.written, metrics.STALLS._value.get()
        await client.stop_reading()
        assert client.written - before <= WINDOW + OVER
        assert metrics.STALLS._value.get() == stalls + 1
        assert client.subscriber.take() == []
        stopped_at = client.written
        client.publish(50)
        await client.peer.wait("ping")
        assert client.written == stopped_at
        await client.catch_up()
        assert client.positions == client.everything
        client.publish(1, size=10)
        await aeventually(lambda: client.positions == client.everything)


@pytest.mark.requirement("F3")
async def test_a_client_that_answers_in_time_is_never_stopped(watched: Any) -> None:
    """Ten windows pass without a pause, and without an overflow."""
    async with watched() as client:
        await client.learn()
        for _ in range(10 * WINDOW // 4000):
            client.publish(4)
            await client.catch_up()
            assert not client.subscriber.behind
        assert client.positions == client.everything


@pytest.mark.requirement("F3")
async def test_a_client_that_reads_nothing_more_is_closed(watched: Any, settings: Any) -> None:
    """No pong within SEND_TIMEOUT while the window is shut: `slow_consumer`, 4410."""
    settings.REALTIME |= {"SEND_TIMEOUT": 0.3}
    async with watched() as client:
        await client.learn()
        await client.stop_reading()
        assert await client.peer.wait_closed() == 4410
        assert client.peer.frames[-1]["code"] == "slow_consumer"
        assert client.hub.directory.subscribers == set()


@pytest.mark.requirement("K6")
async def test_a_client_that_reads_slowly_is_kept(watched: Any, settings: Any) -> None:
    """One pong at a time, each within SEND_TIMEOUT, all together much later: it stays and gets all."""
    settings.REALTIME |= {"SEND_TIMEOUT": 1}
    async with watched() as client:
        await client.learn()
        await client.stop_reading()
        begin = asyncio.get_running_loop().time()
        while client.positions != client.everything:
            await asyncio.sleep(0.1)  # the slowness itself
            client.answer(client.pings[:1])
        assert asyncio.get_running_loop().time() - begin > conf.SEND_TIMEOUT
        assert client.peer.close_code is None


async def test_a_client_that_never_answers_is_served_as_ever(watched: Any) -> None:
    """Many clients do not know pings: they get one early, no more, and everything at once."""
    async with watched() as client:
        client.publish(10 * WINDOW // 1000)
        await aeventually(lambda: client.positions == client.everything)
        assert len(client.pings) == 1
        assert not client.subscriber.overflows


async def test_zero_turns_the_window_off(watched: Any, settings: Any) -> None:
    """Then only the timer pings, and a client that has answered is written to without end."""
    settings.REALTIME |= {"WRITE_WINDOW": 0, "PING_INTERVAL": 0.05}
    async with watched() as client:
        await aeventually(lambda: client.pings)
        client.answer(client.pings)
        client.publish(10 * WINDOW // 1000)
        await aeventually(lambda: client.positions == client.everything)


async def test_an_event_larger_than_the_window_passes(watched: Any) -> None:
    """One at a time, each after the pong that says that the one before has been read."""
    async with watched() as client:
        await client.learn()
        for _ in range(3):
            client.publish(1, size=WINDOW + 10_000)
            await client.catch_up()
        assert client.positions == client.everything


async def test_the_newest_pong_speaks_for_all_before_it(watched: Any) -> None:
    """Several pings are in flight; answered in any order, what was read counts, and nothing twice."""
    async with watched() as client:
        await client.learn()
        await client.stop_reading()
        pings = client.pings
        assert len(pings) >= PARTS - 1
        assert len({ping["t"] for ping in pings}) == len(pings)
        client.answer([pings[-1]])
        await aeventually(lambda: len(client.pings) > len(pings) - 1)
        client.answer([*reversed(pings[:-1]), *pings])
        client._answered -= len(pings)
        await client.catch_up()
        assert client.positions == client.everything


async def test_answers_are_not_counted_as_messages(watched: Any) -> None:
    """The more is written, the more pings: who answers them all is never told to be slower."""
    async with watched() as client:
        await client.learn()
        for _ in range(20):
            client.publish(WINDOW // 1000)
            await client.catch_up()
        assert client._answered > 5 * conf.MESSAGE_BURST
        assert [f for f in client.peer.frames if f["type"] == "error"] == []


async def test_pongs_nobody_asked_for_are_counted(watched: Any) -> None:
    """Who makes up answers goes on at its own risk: `too_many_messages`, 4429."""
    async with watched() as client:
        for number in range(50):
            client.peer.say(action="pong", t=number)
        assert await client.peer.wait_closed() == 4429


async def test_a_pong_is_taken_before_what_waits(watched: Any, settings: Any) -> None:
    """However many messages wait until the window opens, the pong that opens it is not among them."""
    settings.REALTIME |= {"MESSAGE_RATE": 1000, "MESSAGE_BURST": 1000}
    async with watched() as client:
        await client.learn()
        await client.stop_reading()
        for number in range(PENDING_LIMIT):
            client.peer.say(action="ping", t=number)
        await client.catch_up()
        assert client.positions == client.everything


async def test_a_window_knows_its_pings() -> None:
    """No two look alike on a coarse clock; an answer counts once; an unknown one says nothing."""
    window = Window(800)
    window.written = 100
    first = window.ping()
    window.written = 200
    second = window.ping()
    assert first != second
    assert window.answered("x") is None
    assert not window.answers
    assert window.answered(second) is not None
    assert window.answered(second) is None
    assert window.answers
    assert window.in_flight(first)
    window.written = 1000
    assert window.reached()
    assert window.answered(first) is not None
    assert window.shut, "what the first tells is known from the second"


def test_who_may_not_catch_up_waits_though_it_is_behind() -> None:
    """Or a client whose window is shut would keep the loop busy."""

    async def waits() -> bool:
        subscriber = Subscriber(viewer=None, max_events=1, max_bytes=1)  # type: ignore[arg-type]
        subscriber.behind = True
        await asyncio.wait_for(subscriber.wait(), 1)
        waiting = asyncio.create_task(subscriber.wait(buffered=False, behind=False))
        await asyncio.sleep(0)
        waited = not waiting.done()
        subscriber.wake()
        await waiting
        return waited

    assert asyncio.run(waits())
