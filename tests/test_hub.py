"""The hub follows the log: what the layer loses, repeats, reorders or invents changes nothing."""

from __future__ import annotations

import itertools

import pytest

from realtime import log
from realtime.hub import Hub
from realtime.models import Event, LogHead, Task
from tests.model_site import MakeSite, make_site

__all__ = ["make_site"]


def test_it_joins_the_group_before_it_reads_the_head(make_site: MakeSite) -> None:
    """An event that is published while a hub starts is heard, not missed."""
    site = make_site(LOG_CHECK_INTERVAL=60)
    site.loop.delays = itertools.repeat(0.5)
    hub = Hub(channel_layer=site.layer)
    site.hubs.append(hub)
    starting = site.loop.create_task(hub.start())
    site.run(0.1)
    assert len(site.layer.links) == 2, "it has not joined"
    site.loop.delays = itertools.cycle([0.0, 2.0])
    site.task(site.alice)
    site.run(20)
    assert starting.done()
    assert hub.position == site.head == site.start + 1
    assert [d.position for d in hub.ring.after(site.start, ["tasks"]) or ()] == [site.head]


def test_a_repeated_or_late_message_is_dropped(make_site: MakeSite) -> None:
    """What has been dispatched is not dispatched again, whatever order it comes in."""
    site = make_site(smooth=False, LOG_CHECK_INTERVAL=60)
    client = site.watch(site.alice, "mine")
    for _ in range(4):
        site.task(site.alice)
    (link,) = site.layer.links.values()
    for pick in (3, 0, 1, 0):
        link.deliver(pick)
        link.repeat(0)
    site.run(0.2)
    assert client.view.positions == [site.start + n for n in (1, 2, 3, 4)]


@pytest.mark.requirement("F10")
def test_a_dead_layer_costs_latency_never_data(make_site: MakeSite) -> None:
    """While the layer is away updates arrive by the log; when it is back, at once, for the same client."""
    site = make_site(LOG_CHECK_INTERVAL=5)
    client = site.watch(site.alice, "mine")
    site.layer.go_away()
    site.task(site.alice)
    site.run(5)
    assert client.view.positions == [site.head]
    site.layer.away = False
    site.run(20)
    site.task(site.alice)
    assert client.view.positions == [site.head - 1, site.head]
    assert client.types() == ["connected", "subscribed", "task_update", "task_update"]


@pytest.mark.parametrize("flushed", [False, True], ids=["restored", "flushed"])
def test_a_head_that_went_backwards_is_rebased(make_site: MakeSite, flushed: bool) -> None:
    """A restored or flushed database: both ends jump to now, once, and every client is reset."""
    site = make_site(hubs=2, LOG_CHECK_INTERVAL=1)
    clients = [site.watch(site.alice, "mine", hub=number) for number in (0, 1)]
    site.rename(site.task(site.alice), 5)
    before = site.head
    Event.objects.filter(position__gt=before - 3).delete()
    LogHead.objects.filter(pk=1).update(position=before - 3)
    if flushed:
        LogHead.objects.all().delete()
    site.run(2)
    head = log.read_head()
    assert head is not None
    assert head.position == head.floor > before
    assert [hub.position for hub in site.hubs] == [head.position, head.position]
    assert [client.resets[0] for client in clients] == ["expired", "expired"]
    assert {client.view.cursor for client in clients} == {head.position}
    site.task(site.alice)
    assert [client.view.positions[-1] for client in clients] == [site.head, site.head]


def test_it_fills_its_ring_at_the_start(make_site: MakeSite) -> None:
    """After a deploy clients come back from the ring: the database is not even asked."""
    site = make_site(RING_EVENTS=4)
    client = site.watch(site.alice, "mine")
    task = site.task(site.alice)
    client.cut()
    site.rename(task, 4)
    site.restart_hub(0)
    (hub,) = site.hubs
    assert (len(hub.ring), hub.ring.start) == (4, site.head - 4)
    site.loop.failures = 1000
    client.connect(hub)
    client.read(100)
    site.run()
    assert client.view.positions == [site.start + n for n in (1, 2, 3, 4, 5)]
    assert client.connected


def test_a_database_that_is_away_is_asked_again(make_site: MakeSite) -> None:
    """A check that fails is one interval lost; the next one brings everything."""
    site = make_site(smooth=False, LOG_CHECK_INTERVAL=1)
    client = site.watch(site.alice, "mine")
    site.loop.failures = 2
    site.create(site.alice, "crash")
    site.run(4)
    assert client.view.positions == [site.head] == [site.start + 1]


def test_a_detached_client_leaves_nothing_behind(make_site: MakeSite) -> None:
    """After its connection a client is in no index of the hub."""
    site = make_site()
    (hub,) = site.hubs
    client = site.watch(site.alice, "mine", str(Task.objects.create(name="x", owner=site.alice).pk))
    assert len(hub.directory.subscribers) == 1
    client.cut()
    assert not hub.directory.subscribers
    assert not hub.directory.by_key
