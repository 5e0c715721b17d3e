"""Messages a client may send, and the parser that never raises anything but ``ProtocolError``."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from realtime.exceptions import (
    INVALID_JSON,
    INVALID_MESSAGE,
    INVALID_MSGPACK,
    UNKNOWN_ACTION,
    UNKNOWN_TOPIC,
    ProtocolError,
)
from realtime.topics import TOPICS, Subscriptions, is_own

RequestId = str | int | None


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", forbid_unknown_fields=False):
    """What every message may carry: ``request_id`` is echoed in its answers."""

    request_id: RequestId = None


class _Selection(_Message, frozen=True, kw_only=True):
    """A choice of tasks and topics, one or several of each."""

    task_id: str | None = None
    task_ids: list[str] = []
    topic: str | None = None
    topics: list[str] = []

    def subscriptions(self) -> Subscriptions:
        """Return what was chosen, checked.

        Raises ``ProtocolError`` for a task id that is no UUID, what cannot be a topic, or no choice at all.
        Which of the project's topics there are, and who may see them, is asked later.
        """
        task_ids = [*([self.task_id] if self.task_id is not None else []), *self.task_ids]
        topics = [*([self.topic] if self.topic is not None else []), *self.topics]
        if not task_ids and not topics:
            raise ProtocolError(
                INVALID_MESSAGE,
                "One of task_id, task_ids, topic, topics is required.",
                self.request_id,
            )
        for topic in topics:
            if topic not in TOPICS and not is_own(topic):
                raise ProtocolError(UNKNOWN_TOPIC, f"Unknown topic: {topic[:100]}", self.request_id)
        return Subscriptions([canonical_uuid(t, self.request_id) for t in task_ids], topics)


class Subscribe(_Selection, frozen=True, kw_only=True, tag="subscribe"):
    """Watch tasks and topics; with ``after``, resume behind that cursor."""

    after: int | str | None = None


class Unsubscribe(_Selection, frozen=True, kw_only=True, tag="unsubscribe"):
    """Stop watching tasks and topics."""


class Ping(_Message, frozen=True, kw_only=True, tag="ping"):
    """Ask for a ``pong``; ``t`` is the client's own and comes back."""

    t: int | float | str | None = None


class Pong(_Message, frozen=True, kw_only=True, tag="pong"):
    """Answer a server's ``ping`` with its ``t``."""

    t: int | float | str | None = None


class Authenticate(_Message, frozen=True, kw_only=True, tag="authenticate"):
    """Bring a new access token of the same user before the old one expires."""

    token: str

    def __repr__(self) -> str:
        return "Authenticate(token=...)"


class Status(_Message, frozen=True, kw_only=True, tag="status"):
    """Ask for the connection's own figures."""


ClientMessage = Subscribe | Unsubscribe | Ping | Pong | Authenticate | Status
MESSAGES: dict[str, type[ClientMessage]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
    "pong": Pong,
    "authenticate": Authenticate,
    "status": Status,
}


def canonical_uuid(text: str, request_id: RequestId = None) -> str:
    """Return a task id in its one written form; raise ``ProtocolError`` when it is no UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ProtocolError(INVALID_MESSAGE, f"Not a task id (a UUID): {text[:100]}", request_id) from None


def parse_json(text: str | bytes) -> ClientMessage:
    """Parse one text frame; raise ``ProtocolError`` for anything that is not a known message."""
    try:
        raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(INVALID_JSON, f"The message is not JSON: {error}") from None
    return parse(raw)


def parse_msgpack(data: bytes) -> ClientMessage:
    """Parse one binary frame; raise ``ProtocolError`` for anything that is not a known message."""
    try:
        raw = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError, OverflowError) as error:
        raise ProtocolError(INVALID_MSGPACK, f"The message is not MessagePack: {error}") from None
    return parse(raw)


def parse(raw: Any) -> ClientMessage:
    """Turn a decoded object into a message; raise ``ProtocolError`` when it is none."""
    if not isinstance(raw, dict):
        raise ProtocolError(INVALID_MESSAGE, "A message is an object with an action.")
    request_id = raw.get("request_id")
    if not isinstance(request_id, str | int | None) or isinstance(request_id, bool):
        raise ProtocolError(INVALID_MESSAGE, "request_id is text or a whole number.")
    if isinstance(request_id, str) and len(request_id) > 200:
        raise ProtocolError(INVALID_MESSAGE, "request_id has at most 200 characters.")
    action = raw.get("action")
    if action is None:
        raise ProtocolError(INVALID_MESSAGE, "The field action is missing.", request_id)
    if not isinstance(action, str) or action not in MESSAGES:
        # What is no text is not repeated: MessagePack has values that cannot be written down.
        shown = action[:100] if isinstance(action, str) else "(not text)"
        raise ProtocolError(UNKNOWN_ACTION, f"Unknown action: {shown}", request_id)
    try:
        return msgspec.convert(raw, MESSAGES[action])
    except (msgspec.ValidationError, RecursionError) as error:
        raise ProtocolError(INVALID_MESSAGE, f"The message is not valid: {error}", request_id) from None


def parse_cursor(value: int | str) -> int | None:
    """Return a cursor as a number, or None when it cannot be a position of any log."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= 19):
            return None
        value = int(value)
    return value if 0 <= value < 2**63 else None
