"""The WebSocket grammar: every message that a client may send, and every one that it may not."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.exceptions import ProtocolError
from realtime.protocol import client, server
from realtime.protocol.delivery import as_text
from tests.messages import FIELDS, JSON, NEARLY


def code_of(text: str | bytes) -> str:
    """Return the code with which a message is refused."""
    with pytest.raises(ProtocolError) as caught:
        message = client.parse_json(text)
        if isinstance(message, client.Subscribe | client.Unsubscribe):
            message.subscriptions()
    return caught.value.problem.code


def use(message: client.ClientMessage) -> None:
    """Do what the server does with a message: read its choice, and echo what it echoes."""
    if isinstance(message, client.Subscribe | client.Unsubscribe):
        message.subscriptions()
    if isinstance(message, client.Subscribe) and message.after is not None:
        client.parse_cursor(message.after)
    t = message.t if isinstance(message, client.Ping) else None
    as_text(server.Pong(timestamp="", t=t, request_id=message.request_id))


def answer(error: ProtocolError) -> str:
    """Return the ``error`` frame for a refused message, as it goes out."""
    problem = error.problem
    return as_text(
        server.Error(timestamp="", code=problem.code, message=error.message, request_id=error.request_id)
    )


def served(parse: Callable[[Any], client.ClientMessage], value: Any) -> bool:
    """Take a message to the end: it is served, or refused with an ``error`` that can be sent."""
    refusal: str | None = None
    try:
        use(parse(value))
    except ProtocolError as error:
        refusal = answer(error)
    return refusal is None or bool(msgspec.json.decode(refusal)["message"])


@pytest.mark.requirement("W11")
@settings(max_examples=300, deadline=None)
@given(st.binary() | st.text(st.characters(codec=None)).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_message_or_an_error(body: bytes) -> None:
    """Whatever arrives, the parser raises nothing but its own error."""
    assert served(client.parse_json, body)


@pytest.mark.requirement("W11")
@settings(max_examples=300, deadline=None)
@given(NEARLY | JSON)
def test_any_json_is_a_message_or_an_error(value: Any) -> None:
    """Any JSON, above all what is nearly right, is served or refused, and its answer can be sent."""
    assert served(client.parse, value)


@pytest.mark.requirement("W11")
@settings(max_examples=200, deadline=None)
@given(value=NEARLY, half=st.none() | st.sampled_from(FIELDS), ascii_only=st.booleans())
def test_json_text_with_any_escapes(value: Any, half: str | None, ascii_only: bool) -> None:
    """The same as text, where a lone surrogate hides in an escape and numbers have no bounds."""
    text = json.dumps(value | {half: "\ud800"} if half else value, ensure_ascii=ascii_only)
    assert served(client.parse_json, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("null", "invalid_message"),
        ("[]", "invalid_message"),
        ('"subscribe"', "invalid_message"),
        ("{}", "invalid_message"),
        ('{"action": null}', "invalid_message"),
        ('{"action": "jump"}', "unknown_action"),
        ('{"action": 5}', "unknown_action"),
        ('{"action": ["subscribe"]}', "unknown_action"),
        ('{"action": "subscribe"}', "invalid_message"),
        ('{"action": "unsubscribe"}', "invalid_message"),
        ('{"action": "subscribe", "task_id": "7"}', "invalid_message"),
        ('{"action": "subscribe", "task_id": 7}', "invalid_message"),
        ('{"action": "subscribe", "task_ids": "7"}', "invalid_message"),
        ('{"action": "subscribe", "topic": "yours!"}', "unknown_topic"),
        ('{"action": "subscribe", "topic": "mine", "after": 1.5}', "invalid_message"),
        ('{"action": "authenticate"}', "invalid_message"),
        ('{"action": "ping", "request_id": {}}', "invalid_message"),
        ('{"action": "ping", "request_id": true}', "invalid_message"),
        ('{"action": "ping", "request_id": "%s"}' % ("x" * 201), "invalid_message"),
    ],
)
@pytest.mark.requirement("W11")
def test_a_malformed_message_has_its_code(text: str | bytes, code: str) -> None:
    """Malformed JSON, a non-object, a wrong type, a bad uuid, a missing field: each is an ``error``."""
    assert code_of(text) == code


def test_an_unknown_action_is_named() -> None:
    """The message contains ``Unknown action: X``, and the request's id is echoed."""
    with pytest.raises(ProtocolError, match=r"^Unknown action: jump$") as caught:
        client.parse_json('{"action": "jump", "request_id": 7}')
    assert caught.value.request_id == 7


@pytest.mark.requirement("W2")
@pytest.mark.parametrize("action", sorted(client.MESSAGES))
def test_every_action_parses(action: str) -> None:
    """Each action becomes its message, with the ``request_id`` that its answers will echo."""
    raw = {"action": action, "request_id": "r1", "topic": "mine", "token": "x", "unknown": 1}
    message = client.parse_json(msgspec.json.encode(raw))
    assert type(message) is client.MESSAGES[action]
    assert message.request_id == "r1"


@settings(max_examples=100)
@given(st.uuids())
def test_task_ids_have_one_written_form(task_id: uuid.UUID) -> None:
    """However a UUID is written, it stands for one subscription."""
    ways = [str(task_id), str(task_id).upper(), task_id.hex, f"{{{task_id}}}", task_id.urn]
    message = client.Subscribe(task_id=ways[0], task_ids=ways[1:])
    assert list(message.subscriptions().task_ids) == [str(task_id)]


@settings(max_examples=300)
@given(st.integers() | st.text() | st.from_regex(r"[0-9+_ -]{1,21}", fullmatch=True))
def test_a_cursor_is_a_position_or_nothing(value: int | str) -> None:
    """A cursor that cannot be a position of any log is None, never an exception."""
    cursor = client.parse_cursor(value)
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 19):
        assert cursor is None
    elif 0 <= int(value) < 2**63:
        assert cursor == int(value)
    else:
        assert cursor is None
