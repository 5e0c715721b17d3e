"""A hub over a log that was damaged or restored in part, at its start and while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from django.utils import timezone

from realtime import database, log
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.models import Event, LogHead, Task
from tests.kit.waiting import aeventually
from tests.watching import Watcher, dying_after_commit, event, when_told

__all__ = ["when_told"]

Hubs = Callable[..., Awaitable[Hub]]


def create(count: int) -> int:
    """Create tasks, and return the position after them."""
    for _ in range(count):
        Task.objects.create(name="import")
    return log.position()


def ring_positions(hub: Hub) -> list[int]:
    """Return the positions of all tasks' events in the hub's ring."""
    return [delivery.position for delivery in hub.ring.after(hub.ring.start, ["tasks"]) or ()]


async def follows(hub: Hub) -> bool:
    """Tell whether the hub and the log agree, and the next event has the next position."""
    before = hub.position
    await database.run(create, 1)
    await hub.check()
    return hub.position == await database.run(log.position) == before + 1


@pytest.mark.requirement("F4")
async def test_a_head_below_the_logs_own_events_is_rebased_at_the_start(hubs: Hubs) -> None:
    """As after a restore of some tables only: or new events would get positions that are taken."""
    last = await database.run(create, 5)
    await database.run(lambda: LogHead.objects.update(position=last - 3))
    hub = await hubs()
    head = await database.run(log.read_head)
    assert head is not None
    assert head.floor == head.position == hub.position > last
    assert await follows(hub)


@pytest.mark.requirement("F4")
async def test_a_hole_at_the_start_is_rebased(hubs: Hubs) -> None:
    """In the middle of a page too: what the ring then holds is consecutive."""
    last = await database.run(create, 10)
    await database.run(lambda: Event.objects.filter(position=last - 5).delete())
    hub = await hubs()
    head = await database.run(log.read_head)
    assert head is not None
    assert head.floor > last
    assert hub.position == head.position
    assert ring_positions(hub) == []
    assert await follows(hub)
    assert ring_positions(hub) == [hub.position]


@pytest.mark.requirement("F4")
async def test_a_hole_while_running_is_rebased(hubs: Hubs) -> None:
    """The hub goes on behind it, and its ring has no position missing between its ends."""
    hub = await hubs()
    last = await database.run(create, 10)
    await database.run(lambda: Event.objects.filter(position=last - 5).delete())
    await hub.check()
    assert hub.position == await database.run(log.position) > last
    assert hub.ring.end - hub.ring.start == len(hub.ring) == 0
    assert await follows(hub)


@pytest.mark.requirement("F4")
async def test_a_sound_log_is_not_rebased(hubs: Hubs) -> None:
    """A start reads the log's end into the ring, and every position is there."""
    last = await database.run(create, 10)
    hub = await hubs()
    assert hub.position == last
    assert ring_positions(hub) == list(range(last - 9, last + 1))


@pytest.mark.requirement("F4")
async def test_a_damaged_head_is_mended_though_events_wait(hubs: Hubs, engine: str) -> None:
    """The head is made sound first: to position what waits at taken places would fail for ever."""
    hub = await hubs()
    last = await database.run(create, 5)
    await hub.check()

    def damage() -> None:
        with dying_after_commit(engine):
            Task.objects.create(name="waits")
        LogHead.objects.update(position=last - 3)

    await database.run(damage)
    await hub.check()
    assert hub.position > last
    assert not await database.run(log.has_pending)
    assert await follows(hub)


@pytest.mark.requirement("F4")
def test_a_rebase_leaves_what_was_seen_behind(engine: str) -> None:
    """A position that a process has seen stays in the past, though the clock says otherwise."""
    log.start()
    seen = log.microseconds() + 10**12
    assert log.rebase(above=seen) == log.Head(seen + 1, seen + 1)


@pytest.mark.requirement("F4")
async def test_a_log_behind_the_clock_of_its_hubs_goes_on_above_them(hubs: Hubs, engine: str) -> None:
    """The server that holds the restored log may have a slow clock; no position is used twice."""
    future = log.microseconds() + 10**12
    await database.run(log.start)
    await database.run(lambda: LogHead.objects.update(position=future, floor=future))
    hub = await hubs()
    await database.run(lambda: LogHead.objects.update(position=1000, floor=1000))
    await hub.check()
    assert hub.position > future
    assert await follows(hub)


class LayerIsQuicker(Hub):
    """A hub whose layer delivers what it missed while it asks the log what has become of the hole."""

    async def _rebase(self, still_wrong: Callable[[log.Head], bool], above: int) -> log.Head:
        head = await super()._rebase(still_wrong, above)
        self.receive(event(position) for position in range(self.position + 1, head.position + 1))
        return head


@pytest.mark.requirement("F4")
async def test_a_hub_never_jumps_back(engine: str) -> None:
    """Pruning has overtaken its reading, but meanwhile it has overtaken the floor: it stays there."""
    hub = LayerIsQuicker()
    await hub.start()
    start = hub.position
    last = await database.run(create, 10)
    await database.run(lambda: log.prune(timezone.now(), keep=5))
    with Watcher(hub, Viewer("1")) as watcher:
        # The ends as they were read before the pruning.
        await hub._fill(log.Head(last, start))
        assert hub.position == last
        assert not watcher.stream.subscriber.behind
        assert await follows(hub)
    await hub.stop()


@pytest.mark.requirement("F1")
async def test_a_hole_noticed_during_a_check_is_looked_at_after_it(hubs: Hubs, engine: str) -> None:
    """The check under way may have read the log too early to see it: a second one follows."""
    hub = await hubs()
    async with hub._checking:
        last = await database.run(create, 3)
        hub.hear({"type": "realtime.head", "position": last})
        first = hub._hole
        # It is looked at now, in vain, and must not be forgotten.
        await aeventually(lambda: hub._hole is not first)
        assert hub._hole is not None
        assert hub.position < last
    await aeventually(lambda: hub.position == last)
