"""A client that reads slowly: its buffer is bounded, and what it missed comes from the ring or the log."""

from __future__ import annotations

import itertools

import pytest

from realtime.events import BROADCAST, TASK_UPDATE, LogEvent, Viewer
from realtime.models import Task
from realtime.protocol.delivery import Delivery
from realtime.replay import PAGE
from realtime.subscriber import Subscriber
from tests.model_site import READ_ALL, MakeSite, Site, Watcher, make_site

__all__ = ["make_site"]


def paused(site: Site, *names: str) -> Watcher:
    """Return a client that has read everything so far and now stops reading."""
    client = site.visit(site.alice)
    client.connect(site.hubs[0])
    client.read(2 + len(site.tasks))
    site.ask(client, *names)
    return client


def delivery(position: int, size: int = 0) -> Delivery:
    """Return a broadcast on its way out."""
    return Delivery(LogEvent(position, BROADCAST, "now", data={"x": "x" * size}))


@pytest.mark.requirement("F3")
def test_a_buffer_is_bounded_in_events() -> None:
    """One event more than ``BUFFER_EVENTS`` and the buffer is dropped: the client is behind."""
    subscriber = Subscriber(Viewer("1"), 3, 1_000_000)
    for position in (1, 2, 3):
        subscriber.offer(delivery(position))
    assert not subscriber.behind
    subscriber.offer(delivery(4))
    subscriber.offer(delivery(5))
    assert subscriber.behind
    assert subscriber.overflows == 1
    assert subscriber.take() == []
    subscriber.catch_up()
    subscriber.offer(delivery(6))
    assert [d.position for d in subscriber.take()] == [6]
    assert subscriber.empty


@pytest.mark.requirement("F3")
def test_a_buffer_is_bounded_in_bytes() -> None:
    """Events that are together larger than ``BUFFER_BYTES`` are not kept either."""
    subscriber = Subscriber(Viewer("1"), 1000, 5000)
    subscriber.offer(delivery(1, size=2000))
    subscriber.offer(delivery(2, size=2000))
    assert not subscriber.behind
    subscriber.offer(delivery(3, size=2000))
    assert subscriber.behind


@pytest.mark.requirement("F4")
@pytest.mark.parametrize("ring", [1000, 2], ids=["from the ring", "from the log"])
@pytest.mark.parametrize("bound", ["events", "bytes"])
def test_an_overflow_loses_nothing(make_site: MakeSite, ring: int, bound: str) -> None:
    """A client that paused through more than its buffer gets exactly the rest, from ring or log."""
    limit = {"BUFFER_EVENTS": 5} if bound == "events" else {"BUFFER_BYTES": 1500}
    site = make_site(RING_EVENTS=ring, **limit)
    client = paused(site, "mine")
    task = site.task(site.alice)
    site.rename(task, 20)
    task.fail("no")
    site.run()
    assert client.view.positions == []
    client.read(READ_ALL)
    site.run()
    assert client.view.positions == [site.start + n for n in range(1, 23)]
    assert client.served.subscriber.overflows >= 1
    assert client.view.rows[str(task.pk)]["status"] == "failed"
    assert client.resets == []


def test_a_slow_client_slows_nobody(make_site: MakeSite) -> None:
    """Another client of the same hub has everything at once."""
    site = make_site(BUFFER_EVENTS=2)
    paused(site, "mine")
    other = site.watch(site.alice, "mine")
    site.rename(site.task(site.alice), 10)
    assert len(other.view.positions) == 11


@pytest.mark.parametrize("ring", [100_000, 2], ids=["from the ring", "from the log"])
def test_many_missed_events_come_in_pages(make_site: MakeSite, ring: int) -> None:
    """More than a page is replayed page by page, while live events go on, each once and in order."""
    site = make_site(RING_EVENTS=ring, RING_BYTES=100_000_000)
    client = site.watch(site.alice, "mine")
    client.cut()
    Task.objects.bulk_create([Task(name=f"task {n}", owner=site.alice) for n in range(PAGE * 2 + 50)])
    site.run(2)
    site.loop.delays = itertools.repeat(0.02)
    client.connect(site.hubs[0])
    client.read(READ_ALL)
    for _ in range(5):
        site.run(0.03)
        site.rename(Task.objects.first() or Task())
    site.run(3)
    assert client.view.positions == list(range(site.start + 1, site.head + 1))
    assert client.types()[-1] in ("task_update", "subscribed")


def test_events_during_a_log_page_come_through_the_buffer(make_site: MakeSite) -> None:
    """What is dispatched while a page is on its way is neither in the page nor skipped by it."""
    site = make_site(RING_EVENTS=2, LOG_CHECK_INTERVAL=60)
    client = site.watch(site.alice, "mine")
    client.cut()
    task = site.task(site.alice)
    site.rename(task, 5)
    site.loop.delays = itertools.cycle([0.0, 1.0])
    client.connect(site.hubs[0])
    client.read(READ_ALL)
    site.run(0.1)
    site.rename(task, 2)
    site.run(3)
    assert client.view.positions == [site.start + n for n in range(1, 9)]
    assert [f["recovered"] for f in client.frames if "recovered" in f] == [True]


def test_reads_are_bounded(make_site: MakeSite) -> None:
    """However many different replays there are, one database thread is left for the hub."""
    site = make_site(RING_EVENTS=2, LOG_CHECK_INTERVAL=1, DB_THREADS=3)
    tasks = [site.task(site.alice) for _ in range(8)]
    clients = [site.watch(site.alice, str(task.pk)) for task in tasks]
    for client in clients:
        client.cut()
    for task in tasks:
        site.rename(task)
    site.loop.most = 0
    site.loop.delays = itertools.repeat(0.2)
    for client in clients:
        client.connect(site.hubs[0])
        client.read(READ_ALL)
    site.run(10)
    assert [len(client.view.positions) for client in clients] == [1] * 8
    assert site.loop.most <= 3


def test_a_read_that_failed_while_it_waited_is_not_the_last(make_site: MakeSite) -> None:
    """When every thread hangs, look-ups give up; when the database answers again, so do they."""
    site = make_site(LOG_CHECK_INTERVAL=60, DB_THREADS=2)
    task = site.task(site.alice)
    first, second = site.watch(site.alice), site.watch(site.alice)
    site.loop.delays = itertools.repeat(100.0)
    first.post(action="subscribe", topic="mine")
    second.post(action="subscribe", task_id=str(task.pk))
    site.run(31)
    site.loop.delays = itertools.repeat(0.0)
    site.ask(second, str(task.pk))
    assert second.types() == ["connected", "error", "row", "subscribed"]


def test_a_message_of_many_frames_can_be_cut_anywhere(make_site: MakeSite) -> None:
    """Cut after any number of frames, a client that comes back ends with the same rows, each event once."""
    site = make_site()
    site.watch(site.alice, "mine").cut()
    task = site.task(site.alice)
    site.rename(task, 5)
    for frames in range(9):
        client = site.visit(site.alice)
        client.claim({"mine"}, back=6)
        client.connect(site.hubs[0])
        client.read(frames)
        site.run()
        site.come_back(client)
        assert client.view.positions == [site.start + n for n in range(1, 7)]
        assert client.view.rows[str(task.pk)]["version"] == 6
        assert client.view.violations == []
    assert site.log == {}
    assert TASK_UPDATE in {frame["type"] for frame in client.frames}
