"""Cursors: which frames carry an id, what a resume brings, and when a cursor is given up."""

from __future__ import annotations

import itertools

import pytest

from realtime.conf import conf
from tests.model_site import READ_ALL, MakeSite, make_site

__all__ = ["make_site"]


@pytest.mark.requirement("S5")
def test_only_from_subscribed_on_frames_carry_an_id(make_site: MakeSite) -> None:
    """Heartbeats, pongs, rows and notices before the first ``subscribed`` carry none; all later ones do."""
    site = make_site()
    task = site.task(site.alice)
    client = site.watch(site.alice)
    client.post(action="ping")
    site.append("broadcast")
    site.run(2.5)
    site.ask(client, str(task.pk))
    before = len(client.frames)
    assert ["id" in frame for frame in client.frames] == [False] * (before - 1) + [True]
    assert {f["type"] for f in client.frames} >= {"heartbeat", "pong", "broadcast", "task_update"}
    client.post(action="ping")
    task.fail("no")
    site.run(2.5)
    assert all("id" in frame for frame in client.frames[before:])
    assert {f["type"] for f in client.frames[before:]} == {"pong", "task_update", "done", "heartbeat"}


@pytest.mark.requirement("S5")
def test_a_heartbeat_moves_a_quiet_clients_cursor(make_site: MakeSite) -> None:
    """Its id is the hub's position, so that what is not for this client does not make its cursor old."""
    site = make_site()
    client = site.watch(site.alice, "mine")
    site.rename(site.task(site.bob), 5)
    assert client.view.cursor == site.start
    site.run(2.5)
    assert client.view.cursor == site.head
    site.prune(keep=0)
    site.come_back(client)
    assert client.resets == []


@pytest.mark.requirement("S5")
def test_a_heartbeat_never_passes_what_waits(make_site: MakeSite) -> None:
    """While something is still to be sent, a heartbeat tells of what has been sent."""
    site = make_site(BUFFER_EVENTS=2, RING_EVENTS=1, LOG_CHECK_INTERVAL=60)
    client = site.watch(site.alice, "mine")
    client.cut()
    site.rename(site.task(site.alice), 5)
    site.loop.delays = itertools.repeat(3.0)
    client.connect(site.hubs[0])
    client.read(READ_ALL)
    site.run(30)
    assert client.view.violations == []
    assert client.view.positions == [site.start + n for n in range(1, 7)]


@pytest.mark.requirement("S6")
@pytest.mark.parametrize("after", [-1, "x", "", "1.5", "99999999999999999999", "head+1", "floor-1"])
def test_a_cursor_of_no_log_is_one_reset(make_site: MakeSite, after: int | str) -> None:
    """Malformed, from the future, or below the floor: one ``reset`` that says so, then all afresh."""
    site = make_site(hubs=2)
    task = site.task(site.alice)
    site.prune(keep=1)
    known = {"head+1": site.head + 1, "floor-1": site.start - 1}
    client = site.watch(site.alice, "mine", after=known.get(str(after), after))
    reason = "expired" if after == "floor-1" else "unknown_position"
    _, reset, row, subscribed = client.take()
    assert (reset["type"], reset["reason"]) == ("reset", reason)
    assert row["task_id"] == str(task.pk)
    assert (subscribed["recovered"], subscribed["id"]) == (False, site.head)
    site.rename(task)
    assert client.types() == ["task_update"]


def test_a_replay_that_pruning_overtakes_ends_in_a_reset(make_site: MakeSite) -> None:
    """A page is not trusted when the floor has passed the cursor: never a gap, but one ``reset``."""
    site = make_site(RING_EVENTS=2, LOG_CHECK_INTERVAL=60, BUFFER_BYTES=2000)
    client = site.watch(site.alice, "mine")
    client.cut()
    task = site.task(site.alice)
    site.rename(task, 30)
    site.loop.delays = itertools.repeat(0.5)
    client.connect(site.hubs[0])
    client.read(4)
    site.run(5)
    site.prune(keep=0)
    client.read(READ_ALL)
    site.run(20)
    got = client.view.positions
    assert got == [site.start + n for n in range(1, len(got) + 1)]
    assert client.resets == ["expired"]
    assert client.view.rows[str(task.pk)]["version"] == 31


def test_after_a_reset_everything_is_subscribed_afresh(make_site: MakeSite) -> None:
    """A live connection that is too far behind: ``reset``, rows of all its subscriptions, ``subscribed``."""
    site = make_site(BUFFER_EVENTS=2, REPLAY_LIMIT=5, RING_EVENTS=100)
    task = site.task(site.alice)
    client = site.watch(site.alice, "mine", str(task.pk))
    client.take()
    client.cut()
    site.rename(task, conf.REPLAY_LIMIT + 1)
    site.come_back(client)
    assert client.types() == ["connected", "reset", "row", "subscribed"]
    assert client.resets[0] == "too_far_behind"
    assert client.view.task_ids == {str(task.pk)}
    assert client.view.topics >= {"mine"}
    assert client.view.cursor == site.head


def test_exactly_the_limit_is_replayed(make_site: MakeSite) -> None:
    """As many missed events as ``REPLAY_LIMIT`` are sent; others' events do not count."""
    site = make_site(REPLAY_LIMIT=5)
    client = site.watch(site.alice, "mine")
    client.cut()
    site.rename(site.task(site.bob), 20)
    site.rename(site.task(site.alice), 4)
    site.come_back(client)
    assert len(client.view.positions) == 5
    assert client.resets == []


def test_a_resume_for_broadcasts_alone(make_site: MakeSite) -> None:
    """A client that has a cursor resumes, if only for ``broadcasts``: it misses none."""
    site = make_site(hubs=2)
    client = site.watch(site.alice, "mine")
    client.unsubscribe({"mine"})
    site.run()
    client.cut()
    site.append("broadcast")
    site.run()
    site.come_back(client, hub=1)
    assert client.types()[-2:] == ["broadcast", "subscribed"]
    assert client.view.positions == [site.head]


def test_a_snapshot_cut_off_is_read_afresh(make_site: MakeSite) -> None:
    """Cut between its rows and ``subscribed``, a client has no cursor, and nothing is lost."""
    site = make_site()
    task = site.task(site.alice)
    client = site.visit(site.alice)
    client.wants = {"mine"}
    client.connect(site.hubs[0])
    client.read(2)
    site.run()
    assert client.types() == ["connected", "row"]
    assert client.view.cursor is None
    client.cut()
    site.rename(task)
    site.come_back(client)
    assert client.types() == ["connected", "row", "subscribed"]
    assert client.view.rows[str(task.pk)]["version"] == 2


@pytest.mark.requirement("K1")
def test_a_resume_takes_away_what_may_not_be_seen(make_site: MakeSite) -> None:
    """Claimed tasks that are not there or not yours: ``unsubscribed not_found``, and nothing was replayed."""
    site = make_site()
    mine, foreign = site.task(site.alice), site.task(site.bob)
    site.rename(foreign)
    names = (str(mine.pk), str(foreign.pk), "tasks")
    client = site.watch(site.alice, *names, after=site.start)
    types = client.types()
    assert types == ["connected", "task_update", "unsubscribed", "unsubscribed", "subscribed"]
    gone = [(f["task_ids"], f["topics"], f["reason"]) for f in client.frames if f["type"] == "unsubscribed"]
    assert gone == [([str(foreign.pk)], [], "not_found"), ([], ["tasks"], "forbidden")]
    assert client.frames[-1]["task_ids"] == [str(mine.pk)]
    site.rename(foreign)
    assert client.take() == []


@pytest.mark.parametrize("live", [True, False], ids=["live", "at replay"])
def test_a_task_given_away_and_back(make_site: MakeSite, live: bool) -> None:
    """The old owner sees it go and come, at the positions everybody has; who may see all sees updates."""
    site = make_site()
    task = site.task(site.alice)
    clients = [site.watch(site.alice, "mine"), site.watch(site.bob, "mine"), site.watch(site.boss, "tasks")]
    for client in clients:
        client.take()
        if not live:
            client.cut()
    for owner in (site.bob, site.alice):
        task.owner = owner
        task.save()
        site.run()
    if not live:
        for client in clients:
            site.come_back(client)
    told = [[f["type"] for f in client.take() if f["type"].startswith("task_")] for client in clients]
    assert told == [
        ["task_removed", "task_update"],
        ["task_update", "task_removed"],
        ["task_update", "task_update"],
    ]
    assert {tuple(client.view.positions[-2:]) for client in clients} == {(site.head - 1, site.head)}
    assert [str(task.pk) in client.view.rows for client in clients] == [True, False, True]
