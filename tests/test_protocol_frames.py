"""Frames of the server: each encodes, and is what its own generated JSON schema says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.events import BROADCAST, BROADCAST_RETRACTED, TASK_DELETED, TASK_LOG, TASK_UPDATE, LogEvent
from realtime.protocol import server
from realtime.protocol.delivery import as_text, frame_of
from tests.messages import EVERY_FRAME, frames

TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None)}


def conforms(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """Tell whether ``value`` is what a schema of the kind that msgspec generates says."""
    if "$ref" in schema:
        return conforms(value, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return any(conforms(value, choice, definitions) for choice in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if schema.get("type") == "array":
        return isinstance(value, list) and all(conforms(v, schema["items"], definitions) for v in value)
    if schema.get("type") == "object":
        properties = schema.get("properties")
        if not isinstance(value, dict) or properties is None:
            return isinstance(value, dict)
        return set(schema["required"]) <= set(value) <= set(properties) and all(
            conforms(v, properties[name], definitions) for name, v in value.items()
        )
    kind = TYPES[schema["type"]]
    return isinstance(value, kind) and (schema["type"] == "boolean" or not isinstance(value, bool))


@EVERY_FRAME
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_frame_is_what_its_schema_says(frame_type: type[server.Frame], data: st.DataObject) -> None:
    """Whatever a frame holds, it is sent as its schema says, and read back as the same frame."""
    frame = data.draw(frames(frame_type))
    text = as_text(frame)
    schema = msgspec.json.schema(frame_type)
    assert conforms(msgspec.json.decode(text), schema, schema["$defs"]), text
    assert msgspec.json.decode(text, type=frame_type) == frame


@EVERY_FRAME
def test_every_frame_has_type_and_timestamp(frame_type: type[server.Frame]) -> None:
    """Each frame names its ``type`` and says when: a client needs no other to know what it reads."""
    (definition,) = [
        d for name, d in msgspec.json.schema(frame_type)["$defs"].items() if name == frame_type.__name__
    ]
    assert {"type", "timestamp"} <= set(definition["required"])
    assert definition["properties"]["type"]["enum"] == [frame_type.__struct_config__.tag]


def test_the_types_are_distinct() -> None:
    """No two frames share a ``type``."""
    tags = [frame.__struct_config__.tag for frame in server.FRAMES]
    assert len(set(tags)) == len(tags) == 19


def test_a_schema_refuses_what_is_wrong() -> None:
    """The check above can fail: a missing field, a wrong type, and an unknown field are seen."""
    schema = msgspec.json.schema(server.Done)
    good: dict[str, Any] = {"type": "done", "timestamp": "now", "task_id": "t"}
    assert conforms(good, schema, schema["$defs"])
    for bad in ({"type": "done", "timestamp": "now"}, good | {"task_id": 5}, good | {"x": 1}):
        assert not conforms(bad, schema, schema["$defs"])


@pytest.mark.parametrize(
    ("kind", "removed", "expected"),
    [
        (TASK_UPDATE, False, {"type": "task_update", "task_id": "t", "data": {"broadcast_id": "b"}}),
        (TASK_UPDATE, True, {"type": "task_removed", "task_id": "t", "version": 4}),
        (TASK_DELETED, False, {"type": "task_deleted", "task_id": "t", "version": 4}),
        (TASK_LOG, False, {"type": "task_log", "task_id": "t", "data": {"broadcast_id": "b"}}),
        (BROADCAST, False, {"type": "broadcast", "broadcast_id": "b", "message": {}}),
        (BROADCAST_RETRACTED, False, {"type": "broadcast_retracted", "broadcast_id": "b"}),
    ],
)
def test_an_event_becomes_its_frame(kind: str, removed: bool, expected: dict[str, Any]) -> None:
    """Each kind of event has its frame, with the position as id; who loses a task reads of no content."""
    event = LogEvent(9, kind, "now", task_id="t", version=4, data={"broadcast_id": "b"})
    frame = msgspec.json.decode(as_text(frame_of(event, removed=removed)))
    assert frame == expected | {"id": 9, "timestamp": "now"}
    assert "id" not in msgspec.json.decode(as_text(frame_of(event, removed=removed, with_id=False)))
