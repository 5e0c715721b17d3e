"""A row for each open connection: written in batches beside everything else, and never for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connections as databases
from django.utils import timezone

from realtime import connections, database, presence
from realtime.connections import Caller
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.models import Connection, Node
from realtime.protocol import client
from tests.kit.waiting import aeventually
from tests.watching import NEVER, Watcher, hanging_database

pytestmark = pytest.mark.requirement("O1")

Hubs = Callable[..., Awaitable[Hub]]
ALICE = Viewer("1")


@pytest.fixture(autouse=True)
def when_told(settings: Any) -> None:
    """Rows are written when the test says so."""
    settings.REALTIME = {"CONNECTIONS_INTERVAL": NEVER}


async def rows() -> dict[str, Connection]:
    """The rows by connection id."""
    return {row.pk.hex: row for row in await database.run(lambda: list(Connection.objects.all()))}


def name(watcher: Watcher) -> str:
    """The id that the client was told."""
    return watcher.stream.figures.connection_id


async def test_who_comes_and_goes_waits_for_nothing(hubs: Hubs) -> None:
    """Rows are written and deleted later; who came and went in between was never there."""
    hub = await hubs()
    async with hanging_database():
        with Watcher(hub, ALICE), Watcher(hub, ALICE):
            pass
        kept = Watcher(hub, ALICE, caller=Caller("sse", "json", "192.0.2.1"))
    await hub.connections.write()
    (row,) = (await rows()).values()
    assert (row.pk, row.node_id) == (UUID(name(kept)), hub.presence.id)
    assert (row.user_id, row.transport, row.format, row.address) == ("1", "sse", "json", "192.0.2.1")
    assert abs(row.since - timezone.now()) < timedelta(minutes=1)
    assert (row.behind, row.overflows, row.topics, row.tasks) == (False, 0, [], 0)
    assert str(row).startswith("sse of user 1 since")
    kept.stream.close()
    await hub.connections.write()
    assert await rows() == {}


async def test_a_quiet_connection_costs_no_query(hubs: Hubs) -> None:
    """Nothing is asked of the database when nothing has changed: one that hangs would be noticed."""
    hub = await hubs()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Watcher(hub, ALICE))
        await hub.connections.write()
        before = await rows()
        async with hanging_database(), asyncio.timeout(5):
            for _ in range(20):
                await hub.connections.write()
        assert {key: row.seen_at for key, row in (await rows()).items()} == {
            key: row.seen_at for key, row in before.items()
        }


async def test_what_is_watched_is_written_at_once_and_figures_after_some_rounds(
    hubs: Hubs, settings: Any
) -> None:
    """A ping moves the figures of everybody: that alone is not worth a row."""
    hub = await hubs()
    with Watcher(hub, ALICE) as one, Watcher(hub, ALICE) as other:
        await hub.connections.write()
        one.ask(client.Subscribe(topic="mine"))
        await one.until("subscribed")
        await other.settled()
        await hub.connections.write()
        found = await rows()
        assert found[name(one)].topics == ["mine"]
        assert found[name(one)].sent == one.stream.figures.sent
        assert found[name(other)].sent == 0
        settings.REALTIME = {"CONNECTIONS_INTERVAL": 0.05}

        async def written() -> bool:
            await hub.connections.write()
            return (await rows())[name(other)].sent == other.stream.figures.sent

        await aeventually(written, interval=0.1)


async def test_one_that_falls_behind_is_seen(hubs: Hubs) -> None:
    """It reads from the log, and how often it was too slow is known."""
    hub = await hubs()
    with Watcher(hub, ALICE) as slow:
        slow.ask(client.Subscribe(topic="mine"))
        await slow.until("subscribed")
        slow.stream.subscriber.overflows += 1
        slow.stream.subscriber.fall_behind()
        await hub.connections.write()
        row = (await rows())[name(slow)]
        assert (row.behind, row.overflows) == (True, 1)
        await slow.settled()
        await hub.connections.write()
        assert (await rows())[name(slow)].behind is False


async def test_many_are_written_in_batches(hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a batch of new, changed and gone ones in one round."""
    monkeypatch.setattr(connections, "BATCH", 10)
    hub = await hubs()
    watchers = [Watcher(hub, ALICE) for _ in range(35)]
    await hub.connections.write()
    assert (await rows()).keys() == {name(watcher) for watcher in watchers}
    for watcher in watchers[:25]:
        watcher.stream.close()
    await hub.connections.write()
    assert (await rows()).keys() == {name(watcher) for watcher in watchers[25:]}
    await hub.stop()
    assert await rows() == {}, "a drain takes the rest away"


async def test_a_database_that_fails_is_caught_up_with(
    hubs: Hubs, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients come and go meanwhile, and nothing is piled up; afterwards the rows are true."""
    monkeypatch.setattr(connections, "GONE_LIMIT", 5)
    hub = await hubs()
    stays, leaves = Watcher(hub, ALICE), [Watcher(hub, ALICE) for _ in range(20)]
    await hub.connections.write()
    await database.run(rename, engine, "realtime_connection", "elsewhere")
    try:
        for watcher in leaves:
            watcher.stream.close()
            with pytest.raises(Exception, match="realtime_connection"):
                await hub.connections.write()
        assert len(hub.connections._gone) <= 5
        comes = Watcher(hub, ALICE)
    finally:
        await database.run(rename, engine, "elsewhere", "realtime_connection")
    await hub.connections.write()
    assert (await rows()).keys() == {name(stays), name(comes)}


def rename(using: str, old: str, new: str) -> None:
    """Give a table another name."""
    with databases[using].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


async def test_rows_of_a_dead_process_are_swept(hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the others when its lease is over; by the next process to start, when there are no others."""
    dead, alone = await leftover(lease_is_over=True), await leftover(lease_is_over=None)
    living = await leftover(lease_is_over=False)
    await hubs()
    assert (await rows()).keys() == {living}, (dead, alone)
    monkeypatch.setattr(presence, "INTERVAL", 0.05)
    await hubs()
    await database.run(lambda: Node.objects.filter(host="gone").update(seen_at=long_ago()))

    async def swept() -> bool:
        return await rows() == {}

    await aeventually(swept)


def long_ago() -> Any:
    """A time when every lease of then is over."""
    return timezone.now() - timedelta(days=2)


async def leftover(lease_is_over: bool | None) -> str:
    """Write a row as of a process that was killed; None: whose node has been removed already."""
    now = timezone.now()
    node = Node(host="gone", pid=1, started_at=now, seen_at=long_ago() if lease_is_over else now)
    row = Connection(
        id=UUID(int=node.id.int), node_id=node.id, user_id="1", since=now, seen_at=now, position=1
    )
    if lease_is_over is not None:
        await database.run(node.save)
    await database.run(lambda: row.save(force_insert=True))
    return row.pk.hex


async def test_who_was_taken_for_dead_writes_all_rows_again(
    hubs: Hubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hung longer than its lease: others have swept what it believes to be there."""
    monkeypatch.setattr(presence, "INTERVAL", 0.05)
    hub = await hubs()
    with Watcher(hub, ALICE) as watcher:
        await hub.connections.write()
        await database.run(lambda: (Node.objects.all().delete(), Connection.objects.all().delete()))

        async def back() -> bool:
            await hub.connections.write()
            return (await rows()).keys() == {name(watcher)}

        await aeventually(back)
