"""The handler that drains: only where a server handles the signals, in front of it, and once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from realtime import drain
from realtime.limits import Place, places
from tests.kit.waiting import aeventually

pytestmark = pytest.mark.requirement("W16")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def restored(settings: Any) -> Iterator[None]:
    """The process is as it was: its handlers, and nobody kept out."""
    settings.REALTIME = {"DRAIN_SECONDS": 5}
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    places.closing = False


@pytest.fixture
def server() -> list[int]:
    """A server's own handlers: the signals they have taken."""
    taken: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, frame: taken.append(number))
    return taken


async def nobody() -> None:
    """A process that nobody waits for."""


def install(leave: drain.Leave = nobody) -> None:
    """Do what the first client of a process does."""
    drain.install(asyncio.get_running_loop(), leave)


def enter(*, polite: bool = True) -> Place:
    """Take a place, from which a polite client goes when it is told."""
    place = places.enter("192.0.2.1")
    place.when_sent_away(place.leave if polite else lambda: None)
    return place


async def test_nothing_is_taken_over_where_no_server_handles_signals() -> None:
    """Tests, commands and shells end as they always did."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sigint = signal.getsignal(signal.SIGINT)
    install()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == sigint


async def test_nothing_is_taken_over_from_another_thread(server: list[int]) -> None:
    """Python lets only the main thread handle signals: `runserver` serves in another."""
    before = [signal.getsignal(number) for number in SIGNALS]
    await asyncio.to_thread(drain.install, asyncio.get_running_loop(), nobody)
    assert [signal.getsignal(number) for number in SIGNALS] == before


async def test_a_signal_that_is_ignored_stays_ignored(server: list[int]) -> None:
    """A server in the background hears no Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    install()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_server_hears_of_it_when_all_have_gone(server: list[int], number: int) -> None:
    """Once, though the handler was installed twice."""
    install()
    install()
    polite = [enter() for _ in range(5)]
    last = enter(polite=False)
    os.kill(os.getpid(), number)
    await aeventually(lambda: all(place.sent_away for place in [*polite, last]))
    assert places.open == {last}
    assert server == []
    last.leave()
    await aeventually(lambda: server)
    assert server == [number]


async def test_the_others_are_told_that_the_process_goes(server: list[int]) -> None:
    """Before the server ends, and after the clients have gone."""
    told: list[int] = []

    async def leave() -> None:
        told.append(len(places.open))

    install(leave)
    enter()
    os.kill(os.getpid(), signal.SIGTERM)
    await aeventually(lambda: server)
    assert told == [0]


@pytest.mark.parametrize("polite", [True, False])
async def test_a_drain_that_was_too_short_says_whether_clients_are_left(
    server: list[int], settings: Any, caplog: pytest.LogCaptureFixture, polite: bool
) -> None:
    """Operators are alarmed by clients that are cut off, not by a database that was not told of the end."""
    settings.REALTIME = {"DRAIN_SECONDS": 0.6}

    async def leave() -> None:
        await asyncio.Event().wait()

    install(leave)
    place = enter(polite=polite)
    os.kill(os.getpid(), signal.SIGTERM)
    await aeventually(lambda: server)
    place.leave()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    gone = "The clients have gone; the database did not take that this process ends."
    assert said == [gone if polite else "1 clients were still connected at the end."]


async def test_who_enters_unseen_is_sent_away_as_soon_as_it_can_hear(server: list[int]) -> None:
    """A connection may be at the door, its credential being looked at, when the signal comes."""
    install()
    place = places.enter("192.0.2.1")
    os.kill(os.getpid(), signal.SIGTERM)
    await aeventually(lambda: place.sent_away)
    place.when_sent_away(place.leave)
    await aeventually(lambda: server == [signal.SIGTERM])


async def test_a_second_signal_is_passed_on_at_once_and_only_once(server: list[int]) -> None:
    """The drain that is still under way does not repeat it: uvicorn would drop everything."""
    install()
    place = enter(polite=False)
    os.kill(os.getpid(), signal.SIGINT)
    await aeventually(lambda: place.sent_away)
    os.kill(os.getpid(), signal.SIGINT)
    await aeventually(lambda: server == [signal.SIGINT])
    (draining,) = asyncio.all_tasks() - {asyncio.current_task()}
    place.leave()
    await asyncio.wait_for(draining, 10)
    assert server == [signal.SIGINT]


async def test_without_a_drain_the_server_hears_at_once(server: list[int], settings: Any) -> None:
    """DRAIN_SECONDS 0: nobody is told, nobody is kept out."""
    settings.REALTIME = {"DRAIN_SECONDS": 0}
    install()
    place = enter()
    os.kill(os.getpid(), signal.SIGTERM)
    await aeventually(lambda: server == [signal.SIGTERM])
    assert not place.sent_away
    assert not places.closing
    place.leave()


async def test_many_are_spread_over_the_time_and_few_are_not_kept_waiting() -> None:
    """The last of many is told near the end of the window, the last of three soon."""
    clock = asyncio.get_running_loop().time
    # Spread over all of the time, the last of three would be told after twenty seconds.
    for count, seconds, earliest, latest in ((40, 0.5, 0.4, 10), (3, 30, 0, 10)):
        told: list[float] = []

        def hear(place: Place, told: list[float] = told) -> None:
            told.append(clock())
            place.leave()

        for _ in range(count):
            place = places.enter("192.0.2.1")
            place.when_sent_away(lambda place=place, hear=hear: hear(place))
        begin = clock()
        await drain.send_everybody_away(seconds)
        assert len(told) == count
        assert earliest <= told[-1] - begin <= latest
