"""``realtime_client``, its twin for plain tests, and ``faulty_layer``: the real consumer, hub and log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from realtime import broadcasts
from realtime.models import Task
from realtime.testing import Client, FaultyLayer, Refusal, Server, SyncClient

Connect = Callable[[Any], Awaitable[Client]]
ConnectSync = Callable[[Any], SyncClient]


async def test_a_client_sees_a_task_move(engine: str, make_user: Any, realtime_client: Connect) -> None:
    """It subscribes, is told the row, then each change, and ``done``; all on either engine."""
    ada = await sync_to_async(make_user)()
    task = await Task.objects.acreate(name="Import", owner=ada)
    client = await realtime_client(ada)
    subscribed = await client.subscribe(task_id=task)
    assert subscribed["task_ids"] == [str(task.pk)]
    await task.astart()
    update = await client.wait("task_update", task_id=task.pk, status="running")
    assert update["data"]["name"] == "Import"
    await task.acomplete(result={"rows": 3})
    await client.wait("task_update", status="completed", result={"rows": 3})
    await client.wait("done")
    assert [frame["type"] for frame in client.frames][:3] == ["connected", "task_update", "subscribed"]
    assert client.view.violations == []


async def test_rights_are_those_of_the_site(engine: str, make_user: Any, realtime_client: Connect) -> None:
    """Somebody else's task is not found, nor is the topic of all tasks for everybody."""
    ada, ben = [await sync_to_async(make_user)() for _ in range(2)]
    task = await Task.objects.acreate(name="Import", owner=ada)
    client = await realtime_client(ben)
    with pytest.raises(Refusal, match="not_found"):
        await client.subscribe(task_id=task)
    with pytest.raises(Refusal, match="forbidden"):
        await client.subscribe(topic="tasks")
    ada.is_active = False
    await ada.asave()
    with pytest.raises(Refusal, match="user_inactive"):
        await realtime_client(ada)


async def test_a_wait_that_fails_says_what_came(
    engine: str, make_user: Any, realtime_client: Connect
) -> None:
    """The message holds what was waited for and the frames that came instead; one after the end says so."""
    client = await realtime_client(await sync_to_async(make_user)())
    await client.subscribe(topic="mine")
    await sync_to_async(broadcasts.send)("Back soon.")
    with pytest.raises(
        TimeoutError, match=r"no task_update, status='failed' within 0.5 seconds(.|\n)*Back soon"
    ):
        await client.wait("task_update", status="failed", timeout=0.5)
    await client.close()
    with pytest.raises(ConnectionError, match="closed with 1000 before broadcast"):
        await client.wait("broadcast")


def test_a_plain_test_has_a_client_too(
    engine: str, make_user: Any, realtime_sync_client: ConnectSync
) -> None:
    """Each call returns when it is done; a second client resumes behind the first one's cursor."""
    ada = make_user()
    client = realtime_sync_client(ada)
    client.subscribe(topic="mine")
    task = Task.objects.create(name="Import", owner=ada)
    cursor = client.wait("task_update", task_id=task.pk)["id"]
    assert client.unsubscribe(topic="mine")["topics"] == ["mine"]
    client.close()
    task.start()
    again = realtime_sync_client(ada)
    assert again.subscribe(topic="mine", after=cursor)["recovered"] is True
    assert [row["status"] for row in again.view.rows.values()] == ["running"]


def test_a_faulty_layer_costs_time_and_nothing_else(
    engine: str,
    make_user: Any,
    faulty_layer: FaultyLayer,
    realtime_sync_client: ConnectSync,
    settings: Any,
) -> None:
    """Messages are lost, repeated and reordered; the client is told every change, once and in order."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 0.1}
    ada = make_user()
    client = realtime_sync_client(ada)
    client.subscribe(topic="mine")
    task = Task.objects.create(name="0", owner=ada)
    for number in range(1, 40):
        Task.objects.filter(pk=task.pk).update(name=str(number))
    client.wait("task_update", name="39", timeout=30)
    names = [frame["data"]["name"] for frame in client.frames if frame["type"] == "task_update"]
    assert names == [str(number) for number in range(40)]
    assert client.view.violations == []
    (link,) = faulty_layer.links.values()
    assert link.past, "nothing went over the layer"


def test_a_seed_gives_the_same_faults() -> None:
    """Two layers with one seed decide alike, message for message; of another seed otherwise."""

    def fates(seed: int) -> list[list[float]]:
        layer = FaultyLayer(seed)
        layer.faults.drop = layer.faults.duplicate = layer.faults.reorder = 0.4
        return [layer.faults.fates(layer.dice) for _ in range(50)]

    assert fates(7) == fates(7) != fates(8)
    assert {len(times) for times in fates(7)} == {0, 1, 2}


def test_a_database_in_memory_is_refused_in_words(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite in memory would fail now and then under two threads: it is said how to give it a file."""
    monkeypatch.setattr(connection, "is_in_memory_db", lambda: True)
    server = Server()
    with pytest.raises(ImproperlyConfigured, match=r'\["TEST"\] = \{"NAME"'):
        server.start()
    server.stop()
