"""Server-Sent Events on the wire: what is encoded is what an independent parser reads, whatever the text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import sse
from realtime.events import BROADCAST, TASK_UPDATE, LogEvent
from realtime.protocol import server
from realtime.protocol.delivery import Delivery, as_stream, frame_of
from tests.kit.sse_parser import EventStreamParser, ServerSentEvent

LINE_ENDS = "\r\n\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
#: Text that likes to break out of its field.
TEXT = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from(LINE_ENDS + ": \ufeff")), max_size=40
) | (st.sampled_from(["\nevent: forged", "x\r\ndata: forged\r\n\r\n", "\rid: 9", "\n\nretry: 1\n\n", ":c"]))
NOW = "2026-01-02T03:04:05.678Z"


def parse(*chunks: bytes) -> list[ServerSentEvent]:
    """Return what a browser would dispatch, each event a block of its own."""
    parser = EventStreamParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def lines_of(text: str) -> str:
    """Return ``text`` as it arrives: the format has one line end only, whichever was written."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_sse_event_format() -> None:
    """An event is its name and its data, ended by a blank line."""
    assert sse.encode('{"a":1}', event="task_update") == b'event: task_update\ndata: {"a":1}\n\n'
    assert sse.encode_json(b'{"a":1}', "task_update") == b'event: task_update\ndata: {"a":1}\n\n'


def test_sse_event_with_id() -> None:
    """The id is a field of its own, behind the data."""
    assert sse.encode("x", event="done", id=42) == b"event: done\ndata: x\nid: 42\n\n"
    assert sse.encode_json(b"{}", "done", 42) == b"event: done\ndata: {}\nid: 42\n\n"
    assert parse(sse.encode("x", id=42))[0].last_event_id == "42"


def test_sse_event_with_retry() -> None:
    """The reconnection time is written in whole milliseconds, and the parser takes it."""
    assert sse.encode("x", retry=5000).endswith(b"\nretry: 5000\n\n")
    assert parse(sse.encode_json(b"{}", "connected", None, 5000))[0].retry == 5000


def test_sse_heartbeat_format() -> None:
    """The comment heartbeat is one comment line, which no parser makes an event of."""
    parser = EventStreamParser()
    assert sse.COMMENT == b":heartbeat\n\n"
    assert parser.feed(sse.COMMENT) == []
    assert parser.comments == ["heartbeat"]


@pytest.mark.requirement("S4")
def test_sse_retry_interval() -> None:
    """``connected`` and a terminal update carry ``retry: 5000``, and nothing else does."""
    encode = as_stream(5000)
    connected = server.Connected(
        timestamp=NOW,
        connection_id="c",
        user_id="1",
        message="hello",
        protocol="1.0",
        position=1,
        heartbeat_interval=15,
        actions=[],
        expires_at=None,
    )
    running: dict[str, Any] = {"task_id": "t", "status": "running", "finished_at": None}
    ended = running | {"status": "failed", "finished_at": NOW}
    frames = [
        connected,
        server.TaskUpdate(timestamp=NOW, id=2, task_id="t", data=running),
        server.TaskUpdate(timestamp=NOW, id=3, task_id="t", data=ended),
        server.Done(timestamp=NOW, id=3, task_id="t"),
        server.Heartbeat(timestamp=NOW, id=3, t=1.0),
    ]
    assert [event.retry for event in parse(*map(encode, frames))] == [5000, None, 5000, None, None]
    assert parse(as_stream(70)(connected))[0].retry == 70


@pytest.mark.requirement("S2")
@settings(max_examples=300, deadline=None)
@given(data=TEXT, event=st.none() | TEXT, id=st.none() | st.integers(0, 2**53) | TEXT)
def test_no_text_can_start_a_new_field(data: str, event: str | None, id: int | str | None) -> None:
    """CR, LF, CRLF, NUL and U+2028 in any field: the parser reads the same event, and only that one."""
    found = parse(sse.encode("before"), sse.encode(data, event=event, id=id), sse.encode("after"))
    # The parser ignores a byte order mark only at the very start of a stream, which `before` takes.
    assert [e.data for e in found] == ["before", lines_of(data), "after"]
    if event is not None:
        name = lines_of(event).replace("\n", " ").replace("\x00", "")
        assert found[1].event == (name or "message")
    expected = None if id is None else lines_of(str(id)).replace("\n", " ").replace("\x00", "")
    assert found[1].id == expected
    assert [e.retry for e in found] == [None, None, None]


@pytest.mark.requirement("S2")
@settings(max_examples=200, deadline=None)
@given(name=TEXT, message=TEXT, cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_frame_survives_the_wire(name: str, message: str, cuts: list[int]) -> None:
    """A frame whose texts are anybody's arrives whole, with its id and its type, however it is cut."""
    data = {"task_id": "t", "name": name, "message": message, "finished_at": None}
    event = LogEvent(7, TASK_UPDATE, NOW, task_id="t", owner="1", version=2, data=data)
    wire = as_stream(5000)(frame_of(event))
    marks = sorted({0, *(cut % (len(wire) + 1) for cut in cuts), len(wire)})
    pieces = [wire[a:b] for a, b in pairwise(marks)]
    (found,) = parse(*pieces)
    assert (found.event, found.id, found.retry) == ("task_update", "7", None)
    assert found.json["data"] == data
    assert found.json["type"] == "task_update"


@pytest.mark.requirement("S2")
@settings(max_examples=200, deadline=None)
@given(
    data=st.recursive(
        TEXT, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=6
    )
)
def test_json_data_is_one_line(data: Any) -> None:
    """JSON never holds a raw line end (RFC 8259 §7), so a frame is one ``data:`` line."""
    wire = sse.encode_json(msgspec.json.encode(data), "broadcast", 1)
    assert wire.count(b"\ndata: ") == 1
    assert b"\r" not in wire
    assert parse(wire)[0].json == msgspec.json.decode(msgspec.json.encode(data))


def test_lone_surrogates_do_not_end_the_stream() -> None:
    """Half a character, as broken programs write it, is replaced; an exception would end the stream."""
    assert parse(sse.encode("a\ud800b"))[0].data == "a?b"


def test_a_delivery_is_encoded_once_per_encoder() -> None:
    """Everybody who takes the same format is handed the same bytes."""
    event = LogEvent(7, BROADCAST, NOW, data={"broadcast_id": "b", "message": {"title": "hi"}})
    delivery, encode = Delivery(event), as_stream(5000)
    assert delivery.encoded(encode) is delivery.encoded(encode)
    assert as_stream(5000) is encode
