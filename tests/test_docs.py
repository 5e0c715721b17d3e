"""The documentation tells the truth: its examples are parsed, its tables compared with the code."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime import exceptions
from realtime.conf import SETTINGS
from realtime.protocol import client, server
from tests.documents import DOCUMENTS, examples, streams, table, text
from tests.kit.requirements import ROOT
from tests.kit.sse_parser import EventStreamParser

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
#: Every frame of the server by its ``type``.
FRAMES = {str(frame.__struct_config__.tag): frame for frame in server.FRAMES}


def check_frame(example: dict[str, Any]) -> server.Frame:
    """Decode a frame strictly: every field known and of its type, every required one there."""
    frame: server.Frame = msgspec.convert(example, FRAMES[example["type"]], strict=True)
    encoded = json.loads(msgspec.json.encode(frame))
    unknown = example.keys() - encoded.keys() - {"request_id"}
    assert not unknown, f"{example['type']} has no field {unknown}"
    return frame


@pytest.mark.parametrize("example", examples("type"), ids=lambda example: str(example["type"]))
def test_each_example_of_a_frame_is_one(example: dict[str, Any]) -> None:
    """Its fields are those of the struct from which the server makes the frame."""
    check_frame(example)


@pytest.mark.parametrize("example", examples("action"), ids=lambda example: str(example["action"]))
def test_each_example_of_a_message_is_understood(example: dict[str, Any]) -> None:
    """The server's own parser takes it, and what it chooses is valid."""
    message = client.parse_json(json.dumps(example))
    if isinstance(message, client.Subscribe | client.Unsubscribe):
        assert message.subscriptions()
    known = {field.encode_name for field in msgspec.structs.fields(type(message))}
    assert example.keys() - {"action"} <= known


def test_every_frame_and_message_has_an_example() -> None:
    """A new frame or action is not finished before it is documented."""
    assert {example["type"] for example in examples("type")} == set(FRAMES)
    assert {example["action"] for example in examples("action")} == set(client.MESSAGES)


def test_examples_of_event_streams_are_parsed_by_a_standard_parser() -> None:
    """The name is the frame's type, the id its id; ``retry`` stands on the first and on final events."""
    found = streams()
    assert found
    for stream in found:
        parser = EventStreamParser()
        events = parser.feed(stream.encode())
        assert events
        for event in events:
            frame = check_frame(event.json)
            assert event.event == frame.type
            assert event.id == (None if frame.id is msgspec.UNSET else str(frame.id))
            final = isinstance(frame, server.TaskUpdate) and frame.data["finished_at"] is not None
            assert (event.retry is not None) == (final or isinstance(frame, server.Connected))


def test_the_table_of_errors_is_that_of_the_code() -> None:
    """Code, message, status and close code of every problem a client can meet."""
    problems = [value for value in vars(exceptions).values() if isinstance(value, exceptions.Problem)]
    wanted = [[p.code, p.message, str(p.status), str(p.close_code or "–")] for p in problems]
    assert table("docs/protocol.md", "Errors") == wanted


def test_the_table_of_close_codes_is_that_of_the_code() -> None:
    """Code, meaning and retry rule."""
    wanted = [[str(code), what, str(retry)] for code, (what, retry) in exceptions.CLOSE_CODES.items()]
    assert table("docs/protocol.md", "Close codes") == wanted


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """Every key of ``REALTIME`` with its default, in the order of the code."""
    documented = [[name, value] for name, value, _ in table("README.md", "Settings")]
    assert documented == [[name, shown(setting.default)] for name, setting in SETTINGS.items()]


def shown(default: Any) -> str:
    """Write a default as the documentation does."""
    if isinstance(default, str):
        return default or "none"
    return str(default).lower() if isinstance(default, bool | list) else f"{default:,}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """A link to a file of the repository names one that exists."""
    folder = Path(ROOT / document).parent
    missing = [link for link in _LINK.findall(text(document)) if not (folder / link).exists()]
    assert missing == []


def test_commands_of_the_readme_exist() -> None:
    """Each ``make`` target that a document names is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    named = {name for d in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", text(d))}
    assert {"run", "test"} <= named <= targets


def test_the_map_of_modules_is_complete() -> None:
    """docs/design.md names every module and folder of the app, and none that is not there."""
    rows = table("docs/design.md", "Modules of `realtime/`")
    named = {name for modules, _ in rows for name in re.findall(r"[a-z_]+(?:\.py|/)", modules)}
    folder = [path for path in (ROOT / "realtime").iterdir() if path.is_dir() or path.suffix == ".py"]
    there = {path.name + ("/" if path.is_dir() else "") for path in folder}
    assert named == {name for name in there if not name.startswith("__")}
