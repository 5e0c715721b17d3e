"""What the tests of the Python client share: a client that waits for little, and patience with a machine."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from realtime.client import Client, Event, Timing
from tests.flows import Live, Person, Sites
from tests.kit.waiting import eventually

QUICK = Timing(back_off=0.2, back_off_limit=0.5)
DEADLINE = 60.0


def quick(live: Live, person: Person) -> Client:
    """A client of that person's that does not wait long."""
    return Client(live.server.url, token=person.token, timing=QUICK)


async def until(events: AsyncIterator[Event], kind: type[Event]) -> Event:
    """The next event of that kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


@pytest.fixture
def site(sites: Sites) -> Live:
    """A server of the embedded site; for modules that import it."""
    return sites.live("embedded", "uvicorn")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread of a client outlives it; for modules that import it."""
    yield
    no_threads_left()


def no_threads_left() -> None:
    """Wait until no thread of a client is left."""
    eventually(lambda: not [t.name for t in threading.enumerate() if "realtime-client" in t.name])
