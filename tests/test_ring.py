"""The hub's memory of the latest events: bounded in events and in bytes, and found by key."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.events import BROADCAST, TASK_UPDATE, USER_CHANGED, LogEvent
from realtime.protocol.delivery import Delivery
from realtime.ring import Ring

KEYS = ["task:a", "task:b", "tasks", "mine:1", "mine:2", "broadcasts"]


def delivery(
    position: int, kind: str = TASK_UPDATE, task: str = "a", owner: str = "1", size: int = 0
) -> Delivery:
    """Return an event on its way out, as large as wanted."""
    task_id = task if kind == TASK_UPDATE else ""
    return Delivery(LogEvent(position, kind, "now", task_id=task_id, owner=owner, data={"x": "x" * size}))


def filled(ring: Ring, count: int, size: int = 0) -> Ring:
    """Push ``count`` events of task a, positions from 11 on."""
    ring.restart(10)
    for position in range(11, 11 + count):
        ring.push(delivery(position, size=size))
    return ring


def positions(found: list[Delivery] | None) -> list[int] | None:
    """Return the positions of what was found."""
    return None if found is None else [d.position for d in found]


@pytest.mark.requirement("F3")
def test_it_is_bounded_in_events() -> None:
    """The oldest events go when there are more than ``RING_EVENTS``, and the start moves with them."""
    ring = filled(Ring(3, 1_000_000), 5)
    assert (len(ring), ring.start, ring.end) == (3, 12, 15)
    assert positions(ring.after(12, ["tasks"])) == [13, 14, 15]


@pytest.mark.requirement("F3")
def test_it_is_bounded_in_bytes() -> None:
    """The oldest events go when they are together larger than ``RING_BYTES``; one too large is not kept."""
    ring = filled(Ring(1000, 5000), 5, size=2000)
    assert (len(ring), ring.start) == (2, 13)
    ring.push(delivery(16, size=6000))
    assert (len(ring), ring.start, ring.end) == (0, 16, 16)
    assert ring.after(16, ["tasks"]) == []


def test_what_may_be_gone_is_not_answered() -> None:
    """A cursor from before the start gets None: only the log knows. At the start it is exact."""
    ring = filled(Ring(3, 1_000_000), 5)
    assert ring.after(11, ["tasks"]) is None
    assert positions(ring.after(12, ["tasks"])) == [13, 14, 15]
    assert ring.after(99, ["tasks"]) == []


def test_an_event_of_two_keys_comes_once() -> None:
    """Who asks for several keys gets every event once, in the log's order."""
    ring = filled(Ring(100, 1_000_000), 4)
    assert positions(ring.after(10, ["mine:1", "task:a", "tasks", "broadcasts"])) == [11, 12, 13, 14]


def test_a_limit_is_the_oldest_of_them() -> None:
    """With a limit come the first events after the cursor, so that a page follows a page."""
    ring = filled(Ring(100, 1_000_000), 6)
    assert positions(ring.after(11, ["tasks", "mine:1"], 2)) == [12, 13]


def test_a_restart_forgets() -> None:
    """After a jump nothing from before it is answered."""
    ring = filled(Ring(100, 1_000_000), 4)
    ring.restart(50)
    assert (len(ring), ring.start, ring.end) == (0, 50, 50)
    assert ring.after(13, ["tasks"]) is None
    assert ring.after(50, ["tasks"]) == []


def test_events_without_a_key_take_their_place() -> None:
    """An internal event is found by nobody, and counts: the ring has no holes."""
    ring = Ring(2, 1_000_000)
    ring.restart(0)
    for position in (1, 2, 3):
        ring.push(delivery(position, USER_CHANGED))
    assert (ring.start, ring.end, ring.after(1, KEYS)) == (1, 3, [])


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from([TASK_UPDATE, BROADCAST, USER_CHANGED]),
            st.sampled_from("ab"),
            st.sampled_from("12"),
            st.integers(0, 900),
        ),
        max_size=30,
    ),
    max_events=st.integers(1, 12),
    max_bytes=st.integers(500, 6000),
    cursor=st.integers(0, 32),
    keys=st.sets(st.sampled_from(KEYS), min_size=1),
    limit=st.integers(1, 6),
)
def test_it_answers_as_a_list_would(
    events: list[tuple[str, str, str, int]],
    max_events: int,
    max_bytes: int,
    cursor: int,
    keys: set[str],
    limit: int,
) -> None:
    """Whatever was pushed: exactly the matching events after the cursor, or None when some are gone."""
    ring = Ring(max_events, max_bytes)
    ring.restart(0)
    everything = [delivery(n, *event) for n, event in enumerate(events, start=1)]
    for event in everything:
        ring.push(event)
    kept = everything[ring.start :]
    assert len(kept) <= max_events
    assert sum(d.size for d in kept) <= max_bytes
    expected = [d.position for d in kept if d.position > cursor and keys & set(d.keys)]
    answers = (None, None) if cursor < ring.start else (expected, expected[:limit])
    assert positions(ring.after(cursor, keys)) == answers[0]
    assert positions(ring.after(cursor, keys, limit)) == answers[1]
    if cursor >= ring.start:
        assert ring.count_after(cursor, keys) >= len(expected)
