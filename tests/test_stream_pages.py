"""A replay goes in pages that are bounded in bytes, and never waits between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec
import pytest

from realtime import database, replay
from realtime.conf import conf
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.protocol import client
from realtime.reader import Reader
from tests.watching import NEVER, Watcher, log_updates

Hubs = Callable[..., Awaitable[Hub]]

#: More than a page, of which about ten make a buffer.
MISSED, TEXT, BUFFER = 540, 6_000, 65_536


@pytest.mark.requirement("F3")
@pytest.mark.parametrize("ring", [MISSED, 1], ids=["ring", "log"])
async def test_a_replay_is_bounded_in_bytes(hubs: Hubs, settings: Any, ring: int) -> None:
    """No batch exceeds the buffer's bytes by more than one event; all come, once, in order."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": ring, "BUFFER_BYTES": BUFFER}
    hub = await hubs()
    start = hub.position
    await database.run(log_updates, "1", MISSED, "x" * TEXT)
    await hub.check()
    with Watcher(hub, Viewer("1")) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=start))
        await watcher.until("subscribed")
    updates = [frame["id"] for frame in watcher.frames if frame["type"] == "task_update"]
    assert updates == list(range(start + 1, start + MISSED + 1))
    largest = max(sum(map(len, batch)) for batch in watcher.batches)
    one_event = max(len(payload) for batch in watcher.batches for payload in batch)
    assert largest <= BUFFER + one_event


@pytest.mark.requirement("F3")
def test_a_page_of_large_events_holds_few_of_them(engine: str, settings: Any) -> None:
    """The database is not asked for 500 events of any size: a few rows tell how many fit."""
    settings.REALTIME = {"BUFFER_BYTES": 1_000_000}
    log_updates("1", 200, "x" * 30_000)
    page = replay.page(0, ("mine:1",), Viewer("1"), 0)
    size = sum(len(msgspec.json.encode(event.data)) for event in page.events)
    assert len(page.events) <= replay.FIRST
    assert size <= replay.FIRST * 31_000
    assert page.upto == page.events[-1].position
    positions = [event.position for event in page.events]
    after = page.upto
    while (page := replay.page(after, ("mine:1",), Viewer("1"), 0)).events:
        positions += [event.position for event in page.events]
        after = page.upto
    assert positions == list(range(positions[0], positions[0] + 200))


def test_a_page_of_small_events_is_full(engine: str) -> None:
    """Where they fit, a page holds as many as it may, and says how far that is everything."""
    log_updates("1", replay.PAGE + 20)
    page = replay.page(0, ("mine:1",), Viewer("1"), 0)
    assert len(page.events) == replay.PAGE
    rest = replay.page(page.upto, ("mine:1",), Viewer("1"), 0)
    assert len(rest.events) == 20
    assert rest.upto == page.upto + 20


class BusySite(Reader):
    """A reader on a site that goes on writing while a page is read, so that each page comes late."""

    def __init__(self, hub: Hub, rounds: int) -> None:
        super().__init__(hub.using)
        self.hub = hub
        self.rounds = rounds

    async def page(self, after: int, keys: Collection[str], viewer: Viewer, count: int) -> replay.Page:
        """Read the page; when it is there, others' events have taken the hub further."""
        page = await super().page(after, keys, viewer, count)
        if self.rounds:
            self.rounds -= 1
            await database.run(log_updates, "2", 5)
            await self.hub.check()
        return page


@pytest.mark.requirement("S7")
async def test_a_stream_that_has_not_caught_up_never_waits(hubs: Hubs, settings: Any) -> None:
    """Each page is empty and too old already: the stream reads on, with no event or timer to wake it."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": 1}
    hub = await hubs()
    start = hub.position
    await database.run(log_updates, "2", 5)
    await hub.check()
    busy = hub.reader = BusySite(hub, rounds=3)
    with Watcher(hub, Viewer("1")) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=start))
        subscribed = await watcher.until("subscribed")
    assert busy.rounds == 0
    assert subscribed["recovered"] is True
    assert subscribed["id"] == hub.position == start + 20
    assert watcher.types == ["connected", "subscribed"]


async def test_the_buffers_size_is_the_settings(hubs: Hubs, settings: Any) -> None:
    """A single event above the bound is sent all the same, alone."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "BUFFER_BYTES": 100}
    hub = await hubs()
    start = hub.position
    await database.run(log_updates, "1", 3, "x" * 1000)
    await hub.check()
    assert conf.BUFFER_BYTES == 100
    with Watcher(hub, Viewer("1")) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=start))
        await watcher.until("subscribed")
    assert [len(batch) for batch in watcher.batches].count(1) >= 3
    assert watcher.types.count("task_update") == 3
