"""The hub's rules: the next event is dispatched, a lower one dropped, a hole read from the log."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from django.utils import timezone

from realtime import database, layer, log, replay
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.models import Event, LogHead
from realtime.protocol import client
from tests.kit.waiting import aeventually
from tests.watching import NEVER, Watcher, dying_after_commit, event, log_updates, when_told

__all__ = ["when_told"]

Hubs = Callable[..., Awaitable[Hub]]


@pytest.fixture
def me(make_user: Callable[..., Any]) -> str:
    """The id of a user, whose events they are."""
    return str(make_user().pk)


async def watching(hub: Hub, me: str) -> Watcher:
    """Return somebody who watches his own tasks and has been told that he does."""
    watcher = Watcher(hub, Viewer(me))
    watcher.ask(client.Subscribe(topic="mine"))
    await watcher.until("subscribed")
    return watcher


async def positions(watcher: Watcher, count: int) -> list[int]:
    """Return the ids of the next updates."""
    return [(await watcher.until("task_update"))["id"] for _ in range(count)]


@pytest.mark.requirement("F2")
async def test_whatever_order_messages_come_in_events_are_dispatched_in_the_logs(hubs: Hubs, me: str) -> None:
    """Early events are kept, repeats are dropped: each goes out once, in order, without the log."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        start = hub.position
        events = [event(start + n, me) for n in range(1, 21)]
        jumbled = events + events[5:9]
        random.Random(7).shuffle(jumbled)
        for one in jumbled:
            hub.receive([one])
        assert await positions(watcher, 20) == list(range(start + 1, start + 21))
        await watcher.settled()
        assert watcher.types.count("task_update") == 20


@pytest.mark.requirement("F1")
async def test_a_hole_is_read_from_the_log(hubs: Hubs, me: str) -> None:
    """The first of three messages is lost: the third makes the hub look, before its next check."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        start = hub.position
        await database.run(log_updates, me, 3)
        told = await database.run(replay.read, start, start + 3)
        hub.receive(told[2:])
        assert await positions(watcher, 3) == [start + 1, start + 2, start + 3]


@pytest.mark.requirement("F1")
async def test_a_lost_message_arrives_within_the_check_interval(hubs: Hubs, settings: Any, me: str) -> None:
    """With a layer that delivers nothing, the comparison with the log finds the event."""

    class Deaf(InMemoryChannelLayer):  # type: ignore[misc]
        async def group_send(self, group: str, message: Any) -> None:
            """Lose it."""

    settings.REALTIME = {"LOG_CHECK_INTERVAL": 0.05}
    hub = await hubs(channel_layer=Deaf())
    with await watching(hub, me) as watcher:
        start = hub.position
        await database.run(log_updates, me, 1)
        assert await positions(watcher, 1) == [start + 1]


async def test_a_message_that_only_tells_the_head_makes_the_hub_read(hubs: Hubs, me: str) -> None:
    """What is too large for the layer is announced by its position."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        start = hub.position
        await database.run(log_updates, me, 2)
        hub.hear({"type": "realtime.head", "position": start + 2})
        assert await positions(watcher, 2) == [start + 1, start + 2]


async def test_messages_of_another_log_are_ignored(hubs: Hubs, me: str) -> None:
    """A site that shares the Redis has other positions: nothing is dispatched, nothing is kept."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        start = hub.position
        hub.receive([event(start + 1_000_000, me)])
        await hub.check()
        await database.run(log_updates, me, 1)
        await hub.check()
        assert await positions(watcher, 1) == [start + 1]
        assert hub.position == start + 1


@pytest.mark.parametrize(
    "junk", [{}, {"type": "x"}, {"type": "realtime.events", "events": b"{"}, {"type": "realtime.head"}]
)
async def test_junk_in_the_layer_is_ignored(hubs: Hubs, junk: dict[str, Any], me: str) -> None:
    """A message that is not understood neither ends the hub nor moves it."""
    hub = await hubs()
    start = hub.position
    hub.hear(junk)
    await hub.check()
    assert hub.position == start


@pytest.mark.requirement("F1")
async def test_what_a_dead_process_left_is_positioned_and_told_to_all(
    hubs: Hubs, engine: str, settings: Any, me: str
) -> None:
    """Committed, not sequenced, its process gone: a hub positions it and rings for the others."""
    shared = InMemoryChannelLayer()
    first, second = await hubs(channel_layer=shared), await hubs(channel_layer=shared)
    with await watching(first, me) as one, await watching(second, me) as other:
        start = first.position

        def die() -> None:
            with dying_after_commit(engine):
                log_updates(me, 2)

        await database.run(die)
        assert await database.run(log.has_pending)
        await first.check()
        assert await positions(one, 2) == [start + 1, start + 2]
        assert await positions(other, 2) == [start + 1, start + 2]


async def test_a_head_that_went_backwards_is_rebased(hubs: Hubs, me: str) -> None:
    """A restored database: every client is told that its cursor has expired, then served again."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        await database.run(log_updates, me, 5)
        await hub.check()
        before = hub.position

        def restore() -> None:
            Event.objects.all().delete()
            LogHead.objects.update(position=before - 5, floor=before - 5)

        await database.run(restore)
        await hub.check()
        assert (await watcher.until("reset"))["reason"] == "expired"
        again = await watcher.until("subscribed")
        assert again["id"] == hub.position > before
        await database.run(log_updates, me, 1)
        await hub.check()
        assert await positions(watcher, 1) == [hub.position]


async def test_a_flushed_log_is_rebased(hubs: Hubs, me: str) -> None:
    """The head row is gone: a new log begins, above all that was."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        before = hub.position
        await database.run(LogHead.objects.all().delete)
        await hub.check()
        assert hub.position > before
        assert (await watcher.until("reset"))["reason"] == "expired"
        await watcher.until("subscribed")


async def test_a_hole_that_the_log_cannot_fill_is_rebased(hubs: Hubs, me: str) -> None:
    """A row above the floor is missing: the log is damaged, and nobody waits for it for ever."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        start = hub.position
        await database.run(log_updates, me, 3)
        await database.run(Event.objects.filter(position=start + 2).delete)
        await hub.check()
        assert hub.position > start + 3
        assert (await watcher.until("reset"))["reason"] == "expired"


async def test_a_hub_that_pruning_has_overtaken_jumps_to_the_floor(hubs: Hubs, me: str) -> None:
    """Its ring is emptied and everybody asks the log: who missed pruned events gets a reset."""
    hub = await hubs()
    with await watching(hub, me) as watcher:
        await database.run(log_updates, me, 5)
        await database.run(log.prune, timezone.now(), 0)
        await hub.check()
        assert (hub.ring.start, len(hub.ring)) == (hub.position, 0)
        assert (await watcher.until("reset"))["reason"] == "expired"
        await watcher.until("subscribed")


@pytest.mark.requirement("F3")
@pytest.mark.requirement("F4")
@pytest.mark.parametrize("ring", [1000, 1], ids=["ring", "log"])
@pytest.mark.parametrize("bound", [{"BUFFER_EVENTS": 3}, {"BUFFER_BYTES": 1024}], ids=["events", "bytes"])
async def test_who_falls_behind_is_served_exactly(
    hubs: Hubs, settings: Any, ring: int, bound: dict[str, int], me: str
) -> None:
    """A full buffer is dropped, and everything comes from the ring, or from the log if that is older."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": ring, **bound}
    hub = await hubs()
    with await watching(hub, me) as watcher:
        start = hub.position
        await database.run(log_updates, me, 40)
        await hub.check()
        assert watcher.stream.subscriber.behind
        assert await positions(watcher, 40) == list(range(start + 1, start + 41))
        assert "reset" not in watcher.types


async def test_events_that_come_while_the_hub_starts_are_heard(engine: str, me: str) -> None:
    """The group is joined first, then the head is read: what is published in between is not missed."""
    shared = InMemoryChannelLayer()
    await database.run(log.start)
    hub = Hub(channel_layer=shared)
    start = await database.run(log.position)

    original = hub._remember

    async def published_meanwhile(head: log.Head) -> None:
        await database.run(log_updates, me, 2)
        for message in layer.messages(await database.run(replay.read, start, start + 2)):
            await shared.group_send(layer.GROUP, message)
        await original(head)

    hub._remember = published_meanwhile  # type: ignore[method-assign]
    try:
        await hub.start()
        await aeventually(lambda: hub.position == start + 2)
    finally:
        await hub.stop()
        database.close()
