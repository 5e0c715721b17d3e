"""A message of the channel layer carries as many events as fit, and less only for a single large one."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from realtime import layer
from realtime.events import LogEvent
from tests.watching import event

LIMIT = layer.MESSAGE_BYTES


def carried(events: list[LogEvent]) -> Iterator[LogEvent]:
    """Yield what arrives at a hub."""
    for message in layer.messages(events):
        found, _ = layer.decode(message)
        yield from found


@pytest.mark.requirement("F1")
def test_small_events_never_degrade_to_a_head() -> None:
    """Whatever their size: commas and brackets are counted, so that no full message is too large."""
    for size in range(1, 700, 7):
        events = [event(position, text="x" * size) for position in range(1, 501)]
        sent = [*layer.messages(events)]
        assert {message["type"] for message in sent} == {"realtime.events"}
        assert max(len(message["events"]) for message in sent) <= LIMIT


@pytest.mark.requirement("F1")
def test_messages_are_full() -> None:
    """The next event would not have fitted: no message is sent for nothing."""
    events = [event(position, text="x" * (position % 900)) for position in range(1, 501)]
    sent = [*layer.messages(events)]
    firsts = [len(msgspec.json.encode(layer.decode(message)[0][0])) for message in sent[1:]]
    for message, following in zip(sent, firsts, strict=False):
        assert len(message["events"]) + 1 + following > LIMIT


@pytest.mark.requirement("F1")
def test_all_events_arrive_in_order() -> None:
    """Cut into messages and put together again they are the same."""
    events = [event(position, text="é" * (position * 37 % 5000)) for position in range(1, 301)]
    assert [*carried(events)] == events


def filling(spare: int) -> LogEvent:
    """Return an event whose message has that many bytes to spare."""
    bare = len(msgspec.json.encode([event(1)]))
    return event(1, text="x" * (LIMIT - bare - spare))


@pytest.mark.requirement("F1")
@pytest.mark.parametrize(("spare", "type"), [(0, "realtime.events"), (-1, "realtime.head")])
def test_a_single_event_that_is_too_large_is_only_announced(spare: int, type: str) -> None:
    """Up to the last byte it is carried; above, the hub is told how far to read."""
    (message,) = layer.messages([filling(spare)])
    assert message["type"] == type
    found, head = layer.decode(message)
    assert ([event.position for event in found], head) == (([1], 0) if spare == 0 else ([], 1))


@pytest.mark.requirement("F1")
def test_a_large_event_does_not_take_its_neighbours_with_it() -> None:
    """Those before and after it are carried."""
    large = event(2, text="x" * LIMIT)
    sent = [*layer.messages([event(1), large, event(3)])]
    assert [message["type"] for message in sent] == ["realtime.events", "realtime.head", "realtime.events"]
    assert [e.position for e in carried([event(1), large, event(3)])] == [1, 3]


def test_nothing_is_no_message() -> None:
    """The doorbell is not rung for nothing."""
    assert [*layer.messages([])] == []
