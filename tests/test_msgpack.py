"""MessagePack: the same objects as in JSON, both ways, and a parser that takes any bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.events import TASK_UPDATE, LogEvent
from realtime.exceptions import ProtocolError
from realtime.protocol import client, server
from realtime.protocol.delivery import Delivery, as_msgpack, as_text
from tests.messages import EVERY_FRAME, NEARLY, frames

pytestmark = pytest.mark.requirement("W9")

#: What MessagePack has and JSON has not.
ONLY_BINARY = (
    st.binary(max_size=20)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
    | st.builds(msgpack.Timestamp, st.integers(-(2**62), 2**62), st.integers(0, 999_999_999))
    | st.floats()
    | st.integers(-(2**63), 2**64 - 1)
)
VALUES = st.recursive(
    ONLY_BINARY | st.none() | st.booleans() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(-9, 9) | st.binary(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = ["request_id", "task_id", "task_ids", "topic", "topics", "after", "t", "token"]
#: Maps that are nearly messages: known names, any values.
NEARLY_PACKED = st.fixed_dictionaries(
    {"action": st.sampled_from([*client.MESSAGES]) | VALUES},
    optional=dict.fromkeys(NAMES, VALUES),
)
#: What breaks parsers: sizes that are not there, depths, forbidden bytes, values of no meaning.
NASTY = {
    "nothing": b"",
    "never used": b"\xc1",
    "an array of four billion": b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "a text of four gigabytes": b"\xdb\xff\xff\xff\xff",
    "arrays of arrays that are not there": b"\xdd\x0f\xff\xff\xff" * 1000,
    "depth": b"\x91" * 60_000 + b"\xc0",
    "depth in maps": b"\x81\xa1a" * 20_000 + b"\xc0",
    "a map as a key": b"\x81\x80\x01",
    "an array as a key": b"\x81\x91\x01\x01",
    "no number as a time": b"\xc7\x0c\xff" + b"\xff" * 12,
    "a time of another size": b"\xc7\x03\xff" + b"\x00" * 3,
    "a lone surrogate": b"\x81\xa6action\xa3\xed\xa0\x80",
    "half a letter": b"\x81\xa6action\xa1\xc3",
    "two objects": b"\x81\xa6action\xa4ping" * 2,
    "an extension as the action": b"\x81\xa6action\xd4\x05a",
    "bytes as the action": b"\x81\xa6action\xc4\x04ping",
    "a time as the request": b"\x82\xa6action\xa4ping\xaarequest_id\xd6\xff" + b"\x00" * 4,
    "a number as a name": b"\x82\xa6action\xa4ping\x01\x02",
}


def served(body: bytes) -> str | None:
    """Serve a binary message as far as its answer; return the code with which it is refused."""
    refusal: ProtocolError | None = None
    try:
        message = client.parse_msgpack(body)
        if isinstance(message, client.Subscribe | client.Unsubscribe):
            message.subscriptions()
        if isinstance(message, client.Subscribe) and message.after is not None:
            client.parse_cursor(message.after)
        t = message.t if isinstance(message, client.Ping) else None
        as_msgpack(server.Pong(timestamp="", t=t, request_id=message.request_id))
    except ProtocolError as error:
        refusal = error
    if refusal is None:
        return None
    code, message = refusal.problem.code, refusal.message
    frame = server.Error(timestamp="", code=code, message=message, request_id=refusal.request_id)
    assert msgpack.unpackb(as_msgpack(frame))["message"]
    assert " object at 0x" not in message
    return code


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(body: bytes) -> None:
    """Whatever arrives, the parser raises nothing but its own error, and that can be sent."""
    served(body)


@settings(max_examples=100, deadline=None)
@given(NEARLY_PACKED | VALUES)
def test_any_value_of_messagepack_is_a_message_or_an_error(value: Any) -> None:
    """Extensions, times, bytes, NaN and keys that are no text, where a message has something else."""
    served(msgpack.packb(value))


@settings(max_examples=100, deadline=None)
@given(NEARLY_PACKED, st.data())
def test_a_message_that_is_cut_off_or_changed_is_too(value: Any, data: st.DataObject) -> None:
    """A byte changed, or the end missing."""
    body = bytearray(msgpack.packb(value))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    served(bytes(body))
    served(bytes(body[:place]))


@pytest.mark.parametrize("body", NASTY.values(), ids=NASTY)
def test_what_breaks_parsers(body: bytes) -> None:
    """Each is refused with a code, at once and without the memory that it asks for."""
    assert served(body) in ("invalid_msgpack", "invalid_message", "unknown_action")


@settings(max_examples=100, deadline=None)
@given(NEARLY)
def test_a_message_means_the_same_in_both(value: Any) -> None:
    """What JSON can say and MessagePack too is the same message, or the same refusal."""
    try:
        packed = msgspec.msgpack.encode(value)
        text = json.dumps(value, allow_nan=False).encode()
    except (OverflowError, ValueError):
        return
    outcomes = []
    for parse, body in ((client.parse_json, text), (client.parse_msgpack, packed)):
        try:
            outcomes.append(repr(parse(body)))
        except ProtocolError as error:
            outcomes.append(f"{error.problem.code} {error.request_id}")
    assert outcomes[0] == outcomes[1]


@EVERY_FRAME
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_frame_is_the_same_object_in_both(frame_type: type[server.Frame], data: st.DataObject) -> None:
    """An independent reader finds in the bytes what JSON says, and our own the frame."""
    frame = data.draw(frames(frame_type))
    try:
        packed = msgspec.msgpack.encode(frame)
    except OverflowError:
        return
    assert as_msgpack(frame) == packed
    assert msgpack.unpackb(packed) == json.loads(as_text(frame))
    assert msgspec.msgpack.decode(packed, type=frame_type) == frame


@pytest.mark.parametrize(
    ("number", "told"),
    [(2**64, float(2**64)), (-(10**30), -1e30), (2**64 - 1, 2**64 - 1), (10**400, "1" + "0" * 400)],
)
def test_a_number_beyond_64_bits_is_told_as_well_as_it_can_be(number: int, told: Any) -> None:
    """A row that was written past the model may hold one: it must not end the sockets of who reads binary."""
    data = {"task_id": "t", "result": {"rows": [number, 1]}, "name": "import"}
    delivery = Delivery(LogEvent(9, TASK_UPDATE, "now", task_id="t", version=4, data=data))
    assert json.loads(delivery.encoded(as_text))["data"] == data
    frame = msgpack.unpackb(delivery.encoded(as_msgpack))
    assert frame == {
        "type": "task_update",
        "timestamp": "now",
        "id": 9,
        "task_id": "t",
        "data": {"task_id": "t", "result": {"rows": [told, 1]}, "name": "import"},
    }


def test_a_delivery_is_packed_once_for_all() -> None:
    """Each format of an event is made once, however many clients receive it."""
    delivery = Delivery(LogEvent(9, TASK_UPDATE, "now", task_id="t", version=4, data={"task_id": "t"}))
    assert delivery.encoded(as_msgpack) is delivery.encoded(as_msgpack)
    assert isinstance(delivery.encoded(as_text), str)


def test_a_float_is_told_to_its_last_bit() -> None:
    """The `t` of a ping comes back as it was, NaN too: the client's own business."""
    for value in (0.1, -0.0, 5e-324, float("inf"), float("nan")):
        message = client.parse_msgpack(msgpack.packb({"action": "ping", "t": value}))
        assert isinstance(message, client.Ping)
        pong = msgpack.unpackb(as_msgpack(server.Pong(timestamp="", t=message.t)))
        assert struct.pack("!d", pong["t"]) == struct.pack("!d", value)
