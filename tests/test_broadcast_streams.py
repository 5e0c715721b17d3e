"""A broadcast on a connection: once, to its audience only, live, late and after a cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from realtime import broadcasts, database, snapshots
from realtime.auth.identity import viewer_of
from realtime.hub import Hub
from realtime.models import Broadcast
from realtime.protocol import client
from tests.watching import Frame, Watcher

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]


@pytest.fixture(autouse=True)
def intervals(settings: Any) -> None:
    """The log is looked at all the time."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 0.05}


async def watch(hub: Hub, user: Any, **asked: Any) -> Watcher:
    """Return a watcher that has subscribed."""
    watcher = Watcher(hub, await database.run(viewer_of, user))
    watcher.ask(client.Subscribe(**(asked or {"topic": "mine"})))
    await watcher.until("subscribed")
    return watcher


async def send(message: str, **options: Any) -> str:
    """Send a broadcast; return its id."""
    return str((await database.run(partial(broadcasts.send, message, **options))).pk)


def notices(watcher: Watcher) -> list[tuple[str, bool]]:
    """Return each broadcast the watcher received: its text, and whether it came with the snapshot."""
    return [
        (f["message"]["message"], f.get("snapshot", False))
        for f in watcher.frames
        if f["type"] == "broadcast"
    ]


def cursor(frames: list[Frame]) -> int:
    """Return the cursor of a client that received these frames."""
    return max(frame["id"] for frame in frames if "id" in frame)


@pytest.mark.requirement("C5")
@pytest.mark.requirement("K16")
async def test_who_comes_late_is_told_what_is_still_in_its_window(hubs: Hubs, make_user: Users) -> None:
    """The notices come before `subscribed`, oldest first, as a snapshot; those that are over do not."""
    user, hub = await database.run(make_user), await hubs()
    await send("first")
    await send("second", title="of two")
    over, gone = await send("over"), await send("retracted")
    await send("to come", starts_at=timezone.now() + timedelta(hours=1))
    await database.run(lambda: Broadcast.objects.filter(pk=over).update(ends_at=timezone.now()))
    await database.run(lambda: broadcasts.retract(Broadcast.objects.get(pk=gone)))
    await hub.check()
    with await watch(hub, user) as watcher:
        assert notices(watcher) == [("first", True), ("second", True)]
        assert watcher.types[-1] == "subscribed"
        assert not any("id" in f for f in watcher.frames if f.get("snapshot"))
        watcher.ask(client.Subscribe(topic="mine"))
        await watcher.until("subscribed")
        assert len(notices(watcher)) == 2, "a later subscribe to something else tells them no more"
        watcher.ask(client.Subscribe(topic="broadcasts"))
        await watcher.until("subscribed")
        assert len(notices(watcher)) == 4, "who asks for them is told again"


@pytest.mark.requirement("C5")
async def test_a_notice_is_there_whatever_the_senders_clock_says(hubs: Hubs, make_user: Users) -> None:
    """A row that is published is published, be it in five seconds by the clock of who reads it."""
    user, hub = await database.run(make_user), await hubs()
    ahead = timezone.now() + timedelta(seconds=5)
    await send("from the future")
    await database.run(lambda: Broadcast.objects.update(published_at=ahead))
    await hub.check()
    with await watch(hub, user) as watcher:
        assert notices(watcher) == [("from the future", True)]


@pytest.mark.requirement("C5")
async def test_personal_notices_crowd_nobody_elses_out(
    hubs: Hubs, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are for others, what is for everyone is told, and what is for me."""
    monkeypatch.setattr(snapshots, "NOTICES", 3)
    user, other, hub = await database.run(make_user), await database.run(make_user), await hubs()
    await send("for all")
    await send("for me", audience={"kind": "users", "users": [user.pk]})
    for number in range(5):
        await send(f"for another {number}", audience={"kind": "users", "users": [other.pk]})
    await hub.check()
    with await watch(hub, user) as watcher:
        assert notices(watcher) == [("for all", True), ("for me", True)]


@pytest.mark.requirement("C1")
async def test_one_that_was_told_live_is_not_told_again_by_the_snapshot(hubs: Hubs, make_user: Users) -> None:
    """A socket hears broadcasts before it subscribes; its snapshot then leaves those out."""
    user, hub = await database.run(make_user), await hubs()
    with Watcher(hub, await database.run(viewer_of, user)) as watcher:
        await send("before")
        await watcher.until("broadcast")
        watcher.ask(client.Subscribe(topic="mine"))
        await watcher.until("subscribed")
        await send("after")
        await watcher.until("broadcast")
        assert notices(watcher) == [("before", False), ("after", False)]
        assert "id" not in next(f for f in watcher.frames if f["type"] == "broadcast")


@pytest.mark.requirement("C1")
async def test_one_that_the_snapshot_told_is_not_told_again_live(
    hubs: Hubs, make_user: Users, settings: Any
) -> None:
    """A row can be seen before its event has reached the hub."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 60}
    user = await database.run(make_user)
    await send("early")
    slow = await hubs()
    # The row is known and its event, to this hub, is not yet: it is dispatched once the client is there.
    slow.position, behind = slow.position - 1, slow.position
    slow.ring.restart(slow.position)
    with await watch(slow, user) as watcher:
        await slow.check()
        assert slow.position == behind
        await watcher.settled()
        assert notices(watcher) == [("early", True)]


@pytest.mark.requirement("C5")
@pytest.mark.parametrize("when", ["live", "late", "replay"])
async def test_only_the_audience_is_told(hubs: Hubs, make_user: Users, when: str) -> None:
    """The same rule live, in the snapshot and at a resume."""
    hub = await hubs()
    group = await database.run(partial(Group.objects.create, name="Editors"))
    staff, editor = await database.run(partial(make_user, is_staff=True)), await database.run(make_user)
    boss, other = await database.run(partial(make_user, is_superuser=True)), await database.run(make_user)
    await database.run(lambda: editor.groups.add(group))
    people = {"staff": staff, "editor": editor, "boss": boss, "other": other}
    start = hub.position

    async def speak() -> None:
        await send("all")
        await send("staff", audience="staff")
        await send("editors", audience={"kind": "group", "group": "Editors"})
        await send("other", audience={"kind": "users", "users": [other.pk]})
        await hub.check()

    if when != "live":
        await speak()
    if when == "replay":
        hub.ring.restart(hub.position)
    asked = {"topic": "mine", "after": start} if when == "replay" else {"topic": "mine"}
    watchers = {name: await watch(hub, user, **asked) for name, user in people.items()}
    if when == "live":
        await speak()
    for watcher in watchers.values():
        await watcher.settled()
    heard = {name: {text for text, _ in notices(watcher)} for name, watcher in watchers.items()}
    assert heard == {
        "staff": {"all", "staff"},
        "editor": {"all", "editors"},
        "boss": {"all"},
        "other": {"all", "other"},
    }
    for watcher in watchers.values():
        watcher.stream.close()


@pytest.mark.requirement("C6")
@pytest.mark.requirement("K16")
async def test_a_retraction_reaches_who_was_told_and_who_was_away(hubs: Hubs, make_user: Users) -> None:
    """Live at once; at a resume, on another process, in the log's order."""
    user, here, there = await database.run(make_user), await hubs(), await hubs()
    with await watch(here, user) as present, await watch(here, user) as away:
        sent = await send("soon")
        await present.until("broadcast")
        await away.until("broadcast")
        left_at = cursor(away.frames)
        away.stream.close()
        await database.run(lambda: broadcasts.retract(Broadcast.objects.get(pk=sent)))
        frame = await present.until("broadcast_retracted")
        assert frame["broadcast_id"] == sent
    await there.check()
    with await watch(there, user, topic="mine", after=left_at) as back:
        assert [f["type"] for f in back.frames if f["type"] != "connected"] == [
            "broadcast_retracted",
            "subscribed",
        ]


@pytest.mark.requirement("C5")
async def test_a_scheduled_broadcast_comes_when_it_is_due(hubs: Hubs, make_user: Users) -> None:
    """No process has to stay where it was asked for: the hubs look, and one of them sends."""
    user, hub = await database.run(make_user), await hubs()
    await hubs()
    with await watch(hub, user) as watcher:
        await send("now", starts_at=timezone.now() + timedelta(seconds=0.3))
        await watcher.settled()
        assert notices(watcher) == []
        await watcher.until("broadcast")
        await watcher.settled()
        assert notices(watcher) == [("now", False)]


@pytest.mark.requirement("C1")
async def test_the_count_is_of_all_connections_of_the_audience(hubs: Hubs, make_user: Users) -> None:
    """Subscribed or not, of every live process; a process that stays silent makes it incomplete."""
    user, staff = await database.run(make_user), await database.run(partial(make_user, is_staff=True))
    here, there = await hubs(), await hubs()
    watchers = [await watch(hub, who) for hub in (here, there) for who in (user, user, staff)]
    watchers.append(Watcher(here, await database.run(viewer_of, user)))

    async def reach(**options: Any) -> broadcasts.Reached:
        sent = await database.run(partial(broadcasts.send, "soon", **options))
        return await database.run(broadcasts.wait_for_reach, sent)

    assert await reach() == (7, True)
    assert await reach(audience="staff") == (2, True)
    await there.stop()
    assert await reach() == (4, True), "a process that ended in order is not waited for"
    for watcher in watchers:
        watcher.stream.close()
    assert await reach() == (0, True)


@pytest.mark.requirement("C1")
async def test_a_process_that_died_makes_the_count_incomplete_until_its_lease_ends(
    hubs: Hubs, make_user: Users
) -> None:
    """It cannot be known whom it reached; afterwards it is not asked any more."""
    await database.run(make_user)
    dead = await hubs()
    await hubs()
    # Killed: it does nothing any more, and has not said so.
    for task in [*dead._tasks]:
        task.cancel()
    sent = await database.run(partial(broadcasts.send, "soon"))
    assert await database.run(broadcasts.wait_for_reach, sent) == (0, False)
    row = await database.run(lambda: Broadcast.objects.get(pk=sent.pk))
    assert (row.recipient_count, row.complete) == (0, False)
