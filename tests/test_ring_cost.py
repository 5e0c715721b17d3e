"""What a replay from the ring costs: what it returns, not what the ring holds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import pytest

from realtime.protocol.delivery import Delivery
from realtime.replay import PAGE
from realtime.ring import Ring
from tests.watching import event


def filled(count: int) -> Ring:
    """Return a ring of events of two users in turn, each of a task of its own."""
    ring = Ring(count, 10**9)
    ring.restart(0)
    for position in range(1, count + 1):
        ring.push(Delivery(event(position, owner=str(position % 2 + 1))))
    return ring


def in_pages(ring: Ring, keys: Sequence[str], limit: int = PAGE) -> list[int]:
    """Return the positions of a replay from the beginning, read page by page."""
    found: list[int] = []
    cursor = 0
    while page := ring.after(cursor, keys, limit):
        assert len(page) <= limit
        cursor = page[-1].position
        found += [delivery.position for delivery in page]
    return found


@pytest.mark.requirement("F3")
@pytest.mark.parametrize("keys", [("tasks",), ("tasks", "mine:1"), ("mine:1", "mine:2")], ids="+".join)
@pytest.mark.parametrize("limit", [1, 7, PAGE])
def test_pages_are_the_whole_in_order(keys: tuple[str, ...], limit: int) -> None:
    """With one key or several that overlap, page by page as at once: each event once, none left out."""
    ring = filled(1000)
    whole = [delivery.position for delivery in ring.after(0, keys) or ()]
    assert in_pages(ring, keys, limit) == whole == list(range(1, 1001))


@pytest.mark.requirement("F3")
def test_many_keys() -> None:
    """A page over as many keys as a connection may hold is in order, and no longer than its limit."""
    ring = filled(1000)
    ids = [delivery.event.task_id for delivery in ring.after(0, ["tasks"]) or ()][::7]
    keys = [f"task:{task_id}" for task_id in reversed(ids)] + ["task:unknown"]
    assert in_pages(ring, keys, 10) == list(range(1, 1001, 7))
    assert ring.count_after(0, keys) == len(ids)
    assert ring.count_after(500, keys) == len([n for n in range(1, 1001, 7) if n > 500])


@pytest.mark.requirement("F3")
def test_a_count_is_at_least_what_there_is() -> None:
    """An event of two keys counts twice, so that a count below the limit is one for certain."""
    ring = filled(100)
    assert ring.count_after(0, ["tasks"]) == 100
    assert ring.count_after(90, ["tasks"]) == 10
    assert ring.count_after(100, ["tasks"]) == 0
    assert ring.count_after(0, ["tasks", "mine:1"]) == 150
    assert ring.count_after(0, ["nobody"]) == 0


def test_a_count_knows_what_was_dropped() -> None:
    """The events that have left the ring are counted no longer."""
    ring = Ring(10, 10**9)
    ring.restart(0)
    for position in range(1, 101):
        ring.push(Delivery(event(position)))
        assert ring.count_after(0, ["tasks"]) == min(position, 10)
    assert ring.count_after(ring.start, ["mine:1"]) == 10


@pytest.mark.requirement("F4")
def test_a_long_replay_is_not_quadratic() -> None:
    """Four times the events take about four times as long in pages, where sixteen would be quadratic."""
    keys = ("tasks", "mine:1")
    rings = [filled(count) for count in (5_000, 20_000)]
    seconds: list[list[float]] = [[], []]
    for _ in range(5):
        # In turn, so that a busy machine slows both.
        for ring, taken in zip(rings, seconds, strict=True):
            begin = time.process_time()
            in_pages(ring, keys)
            taken.append(time.process_time() - begin)
    small, large = map(min, seconds)
    assert large < 8 * small


@pytest.mark.requirement("F4")
def test_dropping_costs_the_same_however_large_the_ring_is() -> None:
    """A full ring that lets one go for each that comes does not move all the others."""
    seconds: list[list[float]] = [[], []]
    positions = itertools.count(20_001)
    rings = [filled(count) for count in (1_000, 20_000)]
    for _ in range(3):
        for ring, taken in zip(rings, seconds, strict=True):
            new = [Delivery(event(next(positions))) for _ in range(2_000)]
            begin = time.process_time()
            for delivery in new:
                ring.push(delivery)
            taken.append(time.process_time() - begin)
    small, large = map(min, seconds)
    assert large < 6 * small
