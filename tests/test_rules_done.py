"""When a task's subscription ends, and who sees what when tasks change hands: live and at replay."""

from __future__ import annotations

import uuid
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


async def create(owner: Any, **fields: Any) -> Task:
    """Create a task."""
    task: Task = await database.run(lambda: Task.objects.create(name="import", owner=owner, **fields))
    return task


async def do(hub: Hub, *steps: Callable[[], object]) -> None:
    """Do things to tasks and let the hub see them."""
    for step in steps:
        await database.run(step)
    await hub.check()


def ended_with(watcher: Watcher, *types: str) -> bool:
    """Whether these were the last frames."""
    return tuple(watcher.types[-len(types) :]) == types


@pytest.mark.requirement("S11")
async def test_done_follows_a_final_state_in_the_snapshot(hubs: Hubs, owner: Any) -> None:
    """The row, ``subscribed``, ``done``: there is nothing left to wait for."""
    hub = await hubs()
    task = await create(owner, status="completed")
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_id=str(task.pk)))
        assert (await watcher.until("done"))["task_id"] == str(task.pk)
        assert watcher.types == ["connected", "task_update", "subscribed", "done"]
        assert not watcher.stream.subscriptions.task_ids


@pytest.mark.requirement("S11")
async def test_done_follows_a_final_state_that_comes_live(hubs: Hubs, owner: Any) -> None:
    """The last update, then ``done``; what happens to the task afterwards is not sent."""
    hub = await hubs()
    task = await create(owner)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_id=str(task.pk)))
        await watcher.until("subscribed")
        await do(hub, task.start, task.complete, lambda: Task.objects.update(name="renamed"))
        await watcher.until("done")
        await watcher.settled()
    statuses = [f["data"]["status"] for f in watcher.frames if "id" in f and f["type"] == "task_update"]
    assert statuses == ["running", "completed"]
    assert ended_with(watcher, "done", "pong")


@pytest.mark.requirement("S11")
async def test_done_follows_a_final_state_that_was_missed(hubs: Hubs, owner: Any) -> None:
    """In a replay it comes at its place, before ``subscribed``, which then leaves the task out."""
    hub = await hubs()
    task = await create(owner)
    await hub.check()
    cursor = hub.position
    await do(hub, task.start, task.complete)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_id=str(task.pk), after=cursor))
        answer = await watcher.until("subscribed")
    assert watcher.types == ["connected", "task_update", "task_update", "done", "subscribed"]
    assert (answer["task_ids"], answer["recovered"]) == ([], True)


@pytest.mark.requirement("S11")
async def test_done_follows_a_final_state_at_or_before_the_cursor(hubs: Hubs, owner: Any) -> None:
    """The client has it, but was cut off before ``done``."""
    hub = await hubs()
    task = await create(owner)
    await do(hub, task.start, task.complete)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_id=str(task.pk), after=hub.position))
        await watcher.until("done")
    assert watcher.types == ["connected", "subscribed", "done"]


async def test_done_follows_a_deletion(hubs: Hubs, owner: Any) -> None:
    """A deleted task is as final as any."""
    hub = await hubs()
    task = await create(owner)
    version = task.version
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_id=str(task.pk)))
        await watcher.until("subscribed")
        await do(hub, task.delete)
        assert (await watcher.until("task_deleted"))["version"] == version + 1
        await watcher.until("done")


async def test_a_deleted_user_takes_the_tasks_along(hubs: Hubs, owner: Any) -> None:
    """The cascade is told to who watches all."""
    hub = await hubs()
    task = await create(owner)
    with Watcher(hub, Viewer("0", view_all=True)) as watcher:
        watcher.ask(client.Subscribe(topic="tasks"))
        await watcher.until("subscribed")
        await do(hub, owner.delete)
        assert (await watcher.until("task_deleted"))["task_id"] == str(task.pk)


@pytest.mark.parametrize("topic", [False, True], ids=["task", "mine"])
async def test_a_task_given_away_is_removed_live(
    hubs: Hubs, owner: Any, make_user: Callable[..., Any], topic: bool
) -> None:
    """The same event: removed for the previous owner, an update for the new one and for who sees all."""
    hub = await hubs()
    other = await database.run(make_user)
    task = await create(owner)
    what = {"topic": "mine"} if topic else {"task_id": str(task.pk)}
    people = Viewer(str(owner.pk)), Viewer(str(other.pk)), Viewer("0", view_all=True)
    with Watcher(hub, people[0]) as before, Watcher(hub, people[1]) as after, Watcher(hub, people[2]) as all_:
        for watcher, asked in ((before, what), (after, {"topic": "mine"}), (all_, {"topic": "tasks"})):
            watcher.ask(client.Subscribe(**asked))
            await watcher.until("subscribed")
        await do(hub, lambda: Task.objects.filter(pk=task.pk).update(owner=other))
        removed = await before.until("task_removed")
        assert (removed["task_id"], removed["version"]) == (str(task.pk), 2)
        for watcher in (after, all_):
            update = await watcher.until("task_update", lambda frame: "id" in frame)
            assert (update["id"], update["data"]["owner"]) == (removed["id"], str(other.pk))
        if not topic:
            await before.until("done")
        await do(hub, lambda: Task.objects.filter(pk=task.pk).update(name="secret"))
        await before.settled()
    assert "secret" not in str(before.frames)


async def test_a_task_given_away_is_removed_at_replay(
    hubs: Hubs, owner: Any, make_user: Callable[..., Any]
) -> None:
    """Who was away gets what was addressed to him, the removal last, and no more."""
    hub = await hubs()
    other = await database.run(make_user)
    task = await create(owner)
    await hub.check()
    cursor = hub.position
    mine = Task.objects.filter(pk=task.pk)
    await do(
        hub,
        lambda: mine.update(name="still mine"),
        lambda: mine.update(owner=other),
        lambda: mine.update(name="secret"),
    )
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=cursor))
        await watcher.until("subscribed")
    assert watcher.types == ["connected", "task_update", "task_removed", "subscribed"]
    assert "secret" not in str(watcher.frames)


@pytest.mark.requirement("W12")
async def test_unknown_and_forbidden_tasks_look_the_same(
    hubs: Hubs, owner: Any, make_user: Callable[..., Any]
) -> None:
    """Fresh: ``error not_found`` for each, the others proceed. At a resume: ``unsubscribed``."""
    hub = await hubs()
    mine, foreign = await create(owner), await create(await database.run(make_user))
    unknown = str(uuid.uuid4())
    bad = {str(foreign.pk), unknown}
    asked = [str(foreign.pk), str(mine.pk), unknown]
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_ids=asked))
        assert (await watcher.until("subscribed"))["task_ids"] == [str(mine.pk)]
    errors = [frame for frame in watcher.frames if frame["type"] == "error"]
    assert {frame["task_id"] for frame in errors} == bad
    assert len({(frame["code"], frame["message"]) for frame in errors}) == 1
    await hub.check()
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_ids=asked, after=hub.position))
        gone = await watcher.until("unsubscribed")
        assert (set(gone["task_ids"]), gone["reason"]) == (bad, "not_found")
        assert (await watcher.until("subscribed"))["task_ids"] == [str(mine.pk)]
    assert "error" not in watcher.types


@pytest.mark.requirement("S11")
async def test_a_stream_on_tasks_ends_after_the_last_done(hubs: Hubs, owner: Any) -> None:
    """Two tasks, the second one deleted: after its ``done`` the stream is over."""
    hub = await hubs()
    one, two = await create(owner), await create(owner)
    with Watcher(hub, Viewer(str(owner.pk)), ends_with_tasks=True) as watcher:
        watcher.ask(client.Subscribe(task_ids=[str(one.pk), str(two.pk)]))
        await watcher.until("subscribed")
        await do(hub, one.start, one.complete)
        await watcher.until("done")
        assert not watcher.stream.ended
        await do(hub, two.delete)
        await watcher.until("done")
        assert await watcher.next() == []
