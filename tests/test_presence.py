"""Live processes: a lease that is renewed, swept by others, and ended in order where that is possible."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from realtime import broadcasts, database, log, presence
from realtime.hub import Hub
from realtime.models import Broadcast, Node, Reach
from tests.kit.waiting import aeventually

Hubs = Callable[..., Awaitable[Hub]]


async def nodes() -> dict[Any, Node]:
    """Return the live processes by id."""
    return {node.pk: node for node in await database.run(lambda: list(Node.objects.all()))}


async def test_a_hub_is_a_node_while_it_lives(hubs: Hubs) -> None:
    """From before its first client until it is stopped."""
    hub, other = await hubs(), await hubs()
    assert {hub.presence.id, other.presence.id} == (await nodes()).keys()
    await hub.stop()
    assert {other.presence.id} == (await nodes()).keys()


async def test_a_lease_is_renewed_and_the_dead_are_swept(hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was killed says nothing more; the others remove it, and reports that are old."""
    monkeypatch.setattr(presence, "INTERVAL", 0.05)
    old = timezone.now() - timedelta(days=2)
    dead = Node(host="gone", pid=1, started_at=old, seen_at=old)
    await database.run(dead.save)
    report = Reach(broadcast_id=dead.pk, node_id=dead.pk, connections=1, created_at=old)
    await database.run(report.save)
    hub = await hubs()
    first = (await nodes())[hub.presence.id].seen_at

    async def renewed() -> bool:
        found = await nodes()
        return found.keys() == {hub.presence.id} and found[hub.presence.id].seen_at > first

    await aeventually(renewed)
    assert not await database.run(Reach.objects.exists)


async def test_a_node_that_was_swept_by_mistake_comes_back(
    hubs: Hubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hung longer than its lease is alive again with its next sign."""
    monkeypatch.setattr(presence, "INTERVAL", 0.05)
    hub = await hubs()
    await database.run(lambda: Node.objects.all().delete())

    async def there() -> bool:
        return hub.presence.id in await nodes()

    await aeventually(there)


async def test_a_report_that_is_made_twice_counts_once(hubs: Hubs) -> None:
    """A call that lost its answer is tried again."""
    hub, sent = await hubs(), await database.run(broadcasts.send, "soon")
    for _ in range(2):
        report = (sent.pk, hub.presence.id, 3, database_of(hub))
        await database.run(broadcasts.report_reach, *report)
    row = await database.run(Broadcast.objects.get)
    assert (await database.run(Reach.objects.count), row.recipient_count, row.complete) == (1, 3, True)


def database_of(hub: Hub) -> str:
    """Return where a hub's log is."""
    return hub.using or log.database()
