"""The event-stream parser of the test kit, against the rules and examples of WHATWG HTML §9.2."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.sse_parser import EventStreamParser, ServerSentEvent


def parse(stream: bytes) -> list[ServerSentEvent]:
    return EventStreamParser().feed(stream)


def test_block_becomes_event_at_its_blank_line() -> None:
    """The fields of a block are one event, dispatched when the blank line after them arrives."""
    parser = EventStreamParser()
    assert parser.feed(b"event: task_update\nid: 7\nretry: 5000\ndata: {}\n") == []
    (event,) = parser.feed(b"\n")
    assert event == ServerSentEvent("task_update", "{}", "7", "7", 5000)


def test_data_is_decoded_when_asked_for() -> None:
    """The data stays text until its JSON is asked for."""
    (event,) = parse(b'data: {"a":\ndata:  [1]}\n\n')
    assert event.data == '{"a":\n [1]}'
    assert event.json == {"a": [1]}


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_counts(end: bytes) -> None:
    """A line ends with LF, CR or CRLF, and a CRLF is one end, not two."""
    events = parse(end.join([b"data: 1", b"data: 2", b"", b"data: 3", b"", b""]))
    assert [event.data for event in events] == ["1\n2", "3"]


def test_cr_at_the_end_of_a_chunk_ends_the_line_at_once() -> None:
    """An event that ends in CR is not held back until the next byte shows whether LF follows."""
    parser = EventStreamParser()
    assert [event.data for event in parser.feed(b"data: 1\r\n\r")] == ["1"]
    assert [event.data for event in parser.feed(b"\ndata: 2\r\r")] == ["2"]


def test_byte_order_mark_is_dropped_only_at_the_start() -> None:
    """One byte order mark may open the stream; anywhere else it is part of a name or value."""
    mark = b"\xef\xbb\xbf"
    first, second = parse(mark + b"data: 1\n\ndata: " + mark + b"\n\n" + mark + b"data: 3\n\n")
    assert first.data == "1"
    assert second.data == "\ufeff"


def test_comments_are_kept_apart() -> None:
    """A line that starts with a colon is a comment: no event, and it ends no block."""
    parser = EventStreamParser()
    (event,) = parser.feed(b":heartbeat\n\ndata: 1\n: in between\ndata: 2\n\n")
    assert event.data == "1\n2"
    assert parser.comments == ["heartbeat", " in between"]


def test_only_one_space_after_the_colon_is_dropped() -> None:
    """A value loses one leading space, a missing colon means an empty value, case matters."""
    events = parse(b"data:  two\n\ndata:none\n\ndata\n\ndata\ndata\n\nData: x\n\n")
    assert [event.data for event in events] == [" two", "none", "", "\n"]


def test_block_without_data_is_no_event_but_its_id_counts() -> None:
    """Without data nothing is dispatched and the event's name is forgotten, yet the id moves on."""
    parser = EventStreamParser()
    (event,) = parser.feed(b"event: lost\nid: 4\n\ndata: 1\n\n")
    assert (event.event, event.id, event.last_event_id) == ("message", None, "4")


def test_id_of_an_unfinished_block_does_not_count() -> None:
    """The last event id changes at the blank line, so a cut inside a block repeats the event."""
    parser = EventStreamParser()
    parser.feed(b"id: 4\ndata: 1\n\nid: 5\ndata: 2\n")
    assert parser.last_event_id == "4"


def test_id_with_nul_is_ignored_and_an_empty_one_resets() -> None:
    """An id that contains NUL is ignored; an empty id resets the last event id."""
    events = parse(b"id: 4\ndata\n\nid: 5\x006\ndata\n\nid\ndata\n\n")
    assert [event.id for event in events] == ["4", None, ""]
    assert [event.last_event_id for event in events] == ["4", "4", ""]


@pytest.mark.parametrize("value", ["", "-1", "1.5", "5s", "٣", " 5"])
def test_retry_takes_ascii_digits_only(value: str) -> None:
    """A reconnection time that is not made of ASCII digits alone is ignored."""
    parser = EventStreamParser()
    parser.feed(f"retry: 250\nretry: {value}\ndata\n\n".encode())
    assert parser.retry == 250


def test_broken_utf8_is_replaced() -> None:
    """Bytes that are no UTF-8 become U+FFFD and end neither line nor stream."""
    (event,) = parse(b"data: a\xff\xe2\x82b\n\n")
    assert event.data == "a\ufffd\ufffdb"


LINE = [
    "data: é€",
    "data",
    "id: 1",
    "id: 2\x00",
    "event: a",
    "retry: 9",
    ": c",
    "x: y",
    "",
    "\ufeff",
]


@given(lines=st.lists(st.sampled_from(LINE)), choose=st.data())
def test_cuts_and_line_ends_change_nothing(lines: list[str], choose: st.DataObject) -> None:
    """Lines give the same events whichever ends they have and wherever the network cuts them."""
    plain = EventStreamParser()
    expected = plain.feed("".join(line + "\n" for line in lines).encode())
    end = choose.draw(st.sampled_from(["\n", "\r", "\r\n"]))
    stream = "".join(line + end for line in lines).encode()
    cuts = sorted(choose.draw(st.sets(st.integers(0, len(stream)))))
    parser = EventStreamParser()
    found = [
        event
        for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for event in parser.feed(stream[start:stop])
    ]
    assert found == expected
    assert (parser.comments, parser.last_event_id) == (plain.comments, plain.last_event_id)


@given(text=st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
def test_any_json_on_one_line_comes_back(text: str) -> None:
    """JSON written on one data line is read back as the same value."""
    (event,) = parse(f"data: {json.dumps(text, ensure_ascii=False)}\n\n".encode())
    assert event.json == text
