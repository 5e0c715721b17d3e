"""The rules of a connection's cursor: fresh subscribe, resume, reset, ids, done, and who sees what."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from realtime import database, log
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.models import Event, Task
from realtime.protocol import client
from tests.watching import NEVER, Watcher, when_told

__all__ = ["when_told"]

Hubs = Callable[..., Awaitable[Hub]]


async def create(owner: Any, name: str = "import", **fields: Any) -> Task:
    """Create a task."""
    task: Task = await database.run(lambda: Task.objects.create(name=name, owner=owner, **fields))
    return task


async def rename(hub: Hub, task: Task, *names: str) -> None:
    """Change a task and let the hub see it."""

    def work() -> None:
        for name in names:
            task.name = name
            task.save()

    await database.run(work)
    await hub.check()


def notice() -> None:
    """Append a broadcast."""
    data = {"broadcast_id": uuid.uuid4().hex, "message": {"message": "Hello"}}
    log.append([Event(kind="broadcast", data=data, created_at=timezone.now())])


@pytest.mark.requirement("W3")
async def test_a_fresh_subscribe_is_snapshot_then_subscribed_then_events(hubs: Hubs, owner: Any) -> None:
    """The snapshot carries no id, ``subscribed`` the cursor, and each later event its position."""
    hub = await hubs()
    task = await create(owner)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_id=str(task.pk), request_id="r"))
        done = await watcher.until("subscribed")
        assert (done["task_id"], done["request_id"], done["id"]) == (str(task.pk), "r", done["position"])
        await rename(hub, task, "second")
        update = await watcher.until("task_update")
        assert (update["id"], update["data"]["name"]) == (hub.position, "second")
    snapshot = watcher.frames[1]
    assert (snapshot["type"], snapshot["snapshot"], "id" in snapshot) == ("task_update", True, False)


async def test_what_a_snapshot_contained_is_not_sent_after_it(hubs: Hubs, owner: Any) -> None:
    """The hub hears of a change later than the snapshot was read: it is sent once, in the snapshot."""
    hub = await hubs()
    task = await create(owner, "first")

    def change() -> None:
        task.name = "second"
        task.save()

    await database.run(change)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine"))
        await watcher.until("subscribed")
        await hub.check()
        await rename(hub, task, "third")
        await watcher.until("task_update", lambda frame: frame["data"]["name"] == "third")
    names = [frame["data"]["name"] for frame in watcher.frames if frame["type"] == "task_update"]
    assert names == ["second", "third"]


@pytest.mark.requirement("S6")
@pytest.mark.parametrize("ring", [1000, 1], ids=["ring", "log"])
async def test_a_resume_gets_exactly_what_was_missed(
    hubs: Hubs, owner: Any, settings: Any, ring: int
) -> None:
    """From another process, behind any cursor: each event after it, once, then ``subscribed``."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "RING_EVENTS": ring}
    hub, another = await hubs(), await hubs()
    task = await create(owner)
    await hub.check()
    cursor = hub.position
    await rename(hub, task, "a", "b", "c")
    await another.check()
    with Watcher(another, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=str(cursor)))
        assert (await watcher.until("subscribed"))["recovered"] is True
    updates = [frame for frame in watcher.frames if frame["type"] == "task_update"]
    assert [(f["id"], f["data"]["name"]) for f in updates] == [
        (cursor + 1, "a"),
        (cursor + 2, "b"),
        (cursor + 3, "c"),
    ]


@pytest.mark.requirement("S7")
async def test_a_hub_that_is_behind_the_client_catches_up_first(hubs: Hubs, owner: Any) -> None:
    """A cursor ahead of this process but not of the database is no reason for a reset."""
    fast, slow = await hubs(), await hubs()
    task = await create(owner)
    await rename(fast, task, "a", "b")
    assert slow.position < fast.position
    with Watcher(slow, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=fast.position))
        assert (await watcher.until("subscribed"))["recovered"] is True
        assert slow.position == fast.position
    assert watcher.types == ["connected", "subscribed"]


@pytest.mark.requirement("S7")
@pytest.mark.parametrize(
    ("cursor", "reason"),
    [(lambda p: 5, "expired"), (lambda p: p + 99, "unknown_position"), (lambda p: "abc", "unknown_position")],
)
async def test_a_cursor_of_no_use_gets_one_reset_and_fresh_snapshots(
    hubs: Hubs, owner: Any, cursor: Callable[[int], Any], reason: str
) -> None:
    """Too old, from the future, malformed: the reason, the rows as they are, and on from there."""
    hub = await hubs()
    task = await create(owner)
    await hub.check()
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=cursor(hub.position)))
        assert (await watcher.until("reset"))["reason"] == reason
        answer = await watcher.until("subscribed")
        assert (answer["recovered"], answer["id"]) == (False, hub.position)
        await rename(hub, task, "later")
        await watcher.until("task_update", lambda frame: frame["data"]["name"] == "later")
    assert watcher.types == ["connected", "reset", "task_update", "subscribed", "task_update"]


@pytest.mark.requirement("S7")
@pytest.mark.parametrize("ring", [1000, 1], ids=["ring", "log"])
async def test_more_missed_than_the_limit_is_a_reset_before_the_first_event(
    hubs: Hubs, owner: Any, settings: Any, ring: int
) -> None:
    """Counted first: the client is not sent some of it and then the reset."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "REPLAY_LIMIT": 2, "RING_EVENTS": ring}
    hub = await hubs()
    task = await create(owner)
    await hub.check()
    cursor = hub.position
    await rename(hub, task, "a", "b", "c")
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine", after=cursor))
        assert (await watcher.until("reset"))["reason"] == "too_far_behind"
        await watcher.until("subscribed")
    assert watcher.types == ["connected", "reset", "task_update", "subscribed"]


async def test_only_the_first_subscribe_may_resume(hubs: Hubs, owner: Any) -> None:
    """A later ``after`` is ``late_resume``, and the connection goes on."""
    hub = await hubs()
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine"))
        await watcher.until("subscribed")
        watcher.ask(client.Subscribe(topic="mine", after=hub.position, request_id=7))
        error = await watcher.until("error")
        assert (error["code"], error["request_id"]) == ("late_resume", 7)
        await watcher.settled()


async def test_a_topics_snapshot_is_bounded_and_says_so(hubs: Hubs, owner: Any, settings: Any) -> None:
    """The newest ``SNAPSHOT_LIMIT`` rows, newest first, and ``truncated``."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "SNAPSHOT_LIMIT": 2}
    hub = await hubs()
    for name in ("oldest", "middle", "newest"):
        await create(owner, name)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine"))
        assert (await watcher.until("subscribed"))["truncated"] is True
    rows = [frame["data"]["name"] for frame in watcher.frames if frame.get("snapshot")]
    assert rows == ["newest", "middle"]


async def test_a_snapshot_leaves_out_what_finished_long_ago(hubs: Hubs, owner: Any) -> None:
    """A topic shows active tasks and those finished in the last 24 hours."""
    hub = await hubs()
    long_ago = timezone.now() - timedelta(hours=25)
    await create(owner, "old", status="completed", finished_at=long_ago)
    await create(owner, "new", status="completed")
    await create(owner, "active")
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(topic="mine"))
        await watcher.until("subscribed")
    rows = {frame["data"]["name"] for frame in watcher.frames if frame.get("snapshot")}
    assert rows == {"new", "active"}


async def test_before_subscribed_a_broadcast_has_no_id_and_a_resume_does_not_repeat_it(
    hubs: Hubs, owner: Any
) -> None:
    """With an id a cut would carry the cursor past what was missed."""
    hub = await hubs()
    cursor = hub.position
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        await watcher.next()
        await database.run(notice)
        await hub.check()
        assert "id" not in await watcher.until("broadcast")
        watcher.ask(client.Ping(t=1))
        assert "id" not in await watcher.until("pong")
        watcher.ask(client.Subscribe(topic="mine", after=cursor))
        await watcher.until("subscribed")
        await database.run(notice)
        await hub.check()
        assert (await watcher.until("broadcast"))["id"] == hub.position
    assert watcher.types.count("broadcast") == 2


@pytest.mark.requirement("W4")
async def test_after_unsubscribed_nothing_of_it_comes(hubs: Hubs, owner: Any) -> None:
    """Not even what was buffered when the client asked; other subscriptions go on."""
    hub = await hubs()
    gone, kept = await create(owner, "gone"), await create(owner, "kept")
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        watcher.ask(client.Subscribe(task_ids=[str(gone.pk), str(kept.pk)]))
        await watcher.until("subscribed")
        watcher.ask(client.Unsubscribe(task_id=str(gone.pk)))
        answer = await watcher.until("unsubscribed")
        assert (answer["task_id"], answer["task_ids"]) == (str(gone.pk), [str(gone.pk)])
        await rename(hub, gone, "x")
        await rename(hub, kept, "y")
        assert (await watcher.until("task_update"))["data"]["name"] == "y"


async def test_subscribing_twice_changes_nothing(hubs: Hubs, owner: Any) -> None:
    """Idempotent: a snapshot again, and each event still once."""
    hub = await hubs()
    task = await create(owner)
    with Watcher(hub, Viewer(str(owner.pk))) as watcher:
        for _ in range(2):
            watcher.ask(client.Subscribe(task_id=str(task.pk)))
            await watcher.until("subscribed")
        await rename(hub, task, "x")
        await watcher.until("task_update", lambda frame: "id" in frame)
        await watcher.settled()
    assert [f["data"]["name"] for f in watcher.frames if f["type"] == "task_update" and "id" in f] == ["x"]
