"""What a client and a server may say: any of it, nearly any of it, and how it is checked."""

from __future__ import annotations

from types import UnionType
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from realtime.protocol import client, server

TASK = "0b5a9c1e-6f0a-4b5e-9a39-0d6a3a1f1c11"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["request_id", "task_id", "task_ids", "topic", "topics", "after", "t", "token", "extra"]
#: Messages that are nearly right: known names, any values.
NEARLY = st.fixed_dictionaries(
    {"action": st.sampled_from([*client.MESSAGES, "SUBSCRIBE", "close"]) | JSON},
    optional={
        name: JSON | st.sampled_from([TASK, [TASK], "mine", ["tasks", "broadcasts"], 5, "5", 2**70])
        for name in FIELDS
    },
)
#: What a frame's fields may hold.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
EVERY_FRAME = pytest.mark.parametrize("frame_type", server.FRAMES, ids=lambda frame: frame.__name__)


def frames(frame_type: type[server.Frame]) -> st.SearchStrategy[server.Frame]:
    """Return a strategy for a frame with any values its types allow."""
    fields = {}
    for name, kind in get_type_hints(frame_type).items():
        if name in frame_type.__struct_fields__:
            is_object = "dict" in str(kind)
            fields[name] = st.dictionaries(st.text(), VALUES, max_size=4) if is_object else strategy_of(kind)
    return st.builds(frame_type, **fields)


def strategy_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a field; JSON has no NaN, and its numbers are finite."""
    if isinstance(kind, UnionType):
        return st.one_of(*map(strategy_of, get_args(kind)))
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.just(UNSET) if kind is UnsetType else st.from_type(kind)


def checked(frame: dict[str, Any]) -> str:
    """Hold a frame against the struct its type names; return the type."""
    struct = {str(kind.__struct_config__.tag): kind for kind in server.FRAMES}[frame["type"]]
    msgspec.convert(frame, struct)
    fields = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert set(frame) - {"type"} <= fields, frame
    assert frame["timestamp"].endswith("Z")
    return str(frame["type"])
