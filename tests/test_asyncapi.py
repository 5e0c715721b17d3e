"""/asyncapi.json: what both transports say, made of the structs that say it, and valid AsyncAPI 3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.test import Client

from realtime.middleware import guard
from realtime.protocol.client import MESSAGES
from realtime.protocol.server import FRAMES
from tests.documents import examples
from tests.flows import Live

#: The specification's own schema (github.com/asyncapi/spec-json-schemas, 3.0.0, Apache-2.0).
SPECIFICATION = Path(__file__).parent / "kit" / "asyncapi-3.0.0.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as it is served to whoever asks."""
    answer = Client().get("/asyncapi.json", headers={"Host": "localhost"}, secure=True)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(answer.content)
    return found


def check(document: dict[str, Any], name: str, example: dict[str, Any]) -> None:
    """Raise unless the example is a message of that name."""
    payload = document["components"]["messages"][name]["payload"]
    jsonschema.validate(example, {**payload, "components": document["components"]})


def references(value: Any) -> Iterator[str]:
    """Every ``$ref`` below."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_it_is_valid_asyncapi(document: dict[str, Any]) -> None:
    """The specification's own schema finds nothing wrong with it."""
    schema = json.loads(SPECIFICATION.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)] == []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Each ``$ref`` is a path within the document."""
    found = set(references(document))
    assert found
    for reference in found:
        place: Any = document
        for key in reference.removeprefix("#/").split("/"):
            place = place[key]


def test_it_names_every_frame_and_message(document: dict[str, Any]) -> None:
    """A new one is in it by being one."""
    assert set(document["components"]["messages"]) == {
        *(f"server.{frame.__struct_config__.tag}" for frame in FRAMES),
        *(f"client.{action}" for action in MESSAGES),
    }


def test_it_says_where_the_doors_are(document: dict[str, Any]) -> None:
    """The host and the scheme by which it was asked, and the two paths."""
    assert document["servers"]["socket"]["host"] == "localhost"
    assert document["servers"]["socket"]["protocol"] == "wss"
    assert document["channels"]["socket"]["address"] == "/ws"
    assert document["channels"]["stream"]["address"] == "/events"


def test_it_is_made_once_and_its_doors_for_each_request(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask, under any name: no schema is made again, and no name is remembered."""
    made: list[object] = []
    make = msgspec.json.schema_components
    monkeypatch.setattr(msgspec.json, "schema_components", lambda *a, **k: made.append(a) or make(*a, **k))
    for host, secure in (("localhost", False), ("127.0.0.1", True), ("localhost", True)):
        answer = json.loads(Client().get("/asyncapi.json", headers={"Host": host}, secure=secure).content)
        assert answer["servers"]["stream"]["host"] == host
        assert answer["servers"]["stream"]["protocol"] == ("https" if secure else "http")
    assert answer == document
    assert made == []


@pytest.mark.parametrize("example", examples("type"), ids=lambda example: str(example["type"]))
def test_the_documented_frames_fit_it(document: dict[str, Any], example: dict[str, Any]) -> None:
    """Each example of docs/protocol.md is valid against its schema."""
    check(document, f"server.{example['type']}", example)


@pytest.mark.parametrize("example", examples("action"), ids=lambda example: str(example["action"]))
def test_the_documented_messages_fit_it(document: dict[str, Any], example: dict[str, Any]) -> None:
    """So is each example of what a client sends."""
    check(document, f"client.{example['action']}", example)


async def test_what_a_server_says_fits_it(live: Live) -> None:
    """The server's own document describes every frame of a conversation, over both transports."""
    document = (await live.http("GET", "/asyncapi.json")).json()
    person = await live.person()
    task_id = await live.task(person)
    socket = await live.socket(person)
    stream = await live.stream(person, task_ids=[task_id])
    for message in (
        {"action": "subscribe", "task_id": task_id, "request_id": "a"},
        {"action": "ping", "t": 1},
        {"action": "status"},
        {"action": "dance"},
    ):
        await socket.send(message)
    await socket.wait("error")
    await live.finish(task_id)
    await socket.wait("done")
    await stream.wait("done")
    said = [*socket.frames, *(event.json for event in stream.events)]
    assert {"connected", "subscribed", "task_update", "pong", "status", "error", "done"} <= {
        frame["type"] for frame in said
    }
    for frame in said:
        check(document, f"server.{frame['type']}", frame)
    await socket.close()
    await stream.close()


@pytest.mark.parametrize(
    ("options", "prefix", "socket"),
    [
        ({}, "", "/ws"),
        ({"websocket_path": "/live/ws/"}, "", "/live/ws"),
        ({}, "/site", "/site/ws"),
        ({"websocket_path": "/live/ws"}, "/site", "/site/live/ws"),
    ],
)
async def test_it_says_where_this_site_has_its_doors(
    options: dict[str, str], prefix: str, socket: str
) -> None:
    """Where the project serves the WebSocket, as it told the guard, and below where it is mounted."""
    site = ApplicationCommunicator(
        guard(get_asgi_application(), **options),
        {
            "type": "http",
            "method": "GET",
            "path": f"{prefix}/asyncapi.json",
            "root_path": prefix,
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        },
    )
    await site.send_input({"type": "http.request", "body": b"", "more_body": False})
    assert (await site.receive_output(10))["status"] == 200
    body = await site.receive_output(10)
    await site.wait(10)
    channels = json.loads(body["body"])["channels"]
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "socket": socket,
        "stream": f"{prefix}/events",
    }
