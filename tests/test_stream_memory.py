"""What a connection remembers is bounded by what it watches, not by what it has ever watched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from realtime import database
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.models import Task
from realtime.protocol import client
from tests.watching import Watcher, when_told

__all__ = ["when_told"]

Hubs = Callable[..., Awaitable[Hub]]

#: The database plays no part here: one engine is enough.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def some_tasks(owner: Any, count: int) -> list[str]:
    """Create tasks and return their ids."""
    tasks = Task.objects.bulk_create([Task(name="import", owner=owner) for _ in range(count)])
    return [str(task.pk) for task in tasks]


@pytest.mark.requirement("F3")
async def test_a_socket_that_walks_through_many_tasks_does_not_grow(
    hubs: Hubs, make_user: Callable[..., Any]
) -> None:
    """Watch a hundred, leave them, watch the next: nothing is kept of those it has left."""
    user = await database.run(make_user)
    ids = await database.run(some_tasks, user, 1000)
    hub = await hubs()
    with Watcher(hub, Viewer(str(user.pk))) as watcher:
        for start in range(0, len(ids), 100):
            some = ids[start : start + 100]
            watcher.ask(client.Subscribe(task_ids=some))
            await watcher.until("subscribed")
            assert len(watcher.stream.held.states) == 100
            watcher.ask(client.Unsubscribe(task_ids=some))
            await watcher.until("unsubscribed")
        await watcher.settled()
        assert watcher.types.count("task_update") == 1000
        assert watcher.stream.held.states == {}
        assert watcher.stream.subscriber.keys == {"broadcasts"}
        assert len(hub.directory.by_key) == 1


@pytest.mark.requirement("F3")
async def test_what_was_left_and_is_watched_again_comes_with_its_events(
    hubs: Hubs, make_user: Callable[..., Any]
) -> None:
    """Forgetting a snapshot's version loses and repeats nothing for who comes back to the task."""
    user = await database.run(make_user)
    (task_id,) = await database.run(some_tasks, user, 1)
    hub = await hubs()
    told = []
    with Watcher(hub, Viewer(str(user.pk))) as watcher:
        for number in range(3):
            watcher.ask(client.Subscribe(task_id=task_id))
            snapshot = await watcher.until("task_update")
            await watcher.until("subscribed")
            await database.run(lambda n=number: Task.objects.filter(pk=task_id).update(message=str(n)))
            await hub.check()
            update = await watcher.until("task_update")
            told.append((snapshot["data"]["version"], update["data"]["version"]))
            watcher.ask(client.Unsubscribe(task_id=task_id))
            await watcher.until("unsubscribed")
    assert told == [(n, n + 1) for n in range(told[0][0], told[0][0] + 3)]
    assert watcher.types.count("task_update") == 6
