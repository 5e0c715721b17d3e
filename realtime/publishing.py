"""Events of a project's own topics: into the log, in the caller's transaction.

>>> publish("order.42", "shipped", {"carrier": "DHL"})

Such an event is as atomic, ordered and resumed as that of a task. What looks like a secret is taken out
before it is stored, as of what workers tell (``REDACT``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from realtime import log, registry
from realtime.conf import conf
from realtime.events import EVERYONE, TOPIC_EVENT
from realtime.exceptions import InvalidValue
from realtime.models.log import Event
from realtime.models.notices import clean_audience
from realtime.models.transitions import clean_json, safe_json
from realtime.topics import is_own

#: The event that a snapshot is; no other may be called so.
SNAPSHOT = "snapshot"
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)


def publish(topic: str, type: str, data: Mapping[str, Any] | None = None, audience: Any = None) -> None:
    """Tell everybody who watches ``topic`` that something happened, if the transaction commits.

    ``type`` says what, in a word; ``data`` is a JSON object. ``audience`` narrows those who are told, in the
    words of a broadcast: "staff", ``{"kind": "group", "group": id or name}`` or
    ``{"kind": "users", "users": [ids]}``. No client is shown it.

    Raises ``InvalidValue`` with the ``field`` that is bad: a topic that is not registered, a type that is no
    word, data that JSON cannot hold, that is nested deeper than 100 levels or larger than
    ``MAX_EVENT_SIZE``, an audience that is unknown.
    """
    if not isinstance(topic, str) or registry.find(topic) is None:
        raise InvalidValue(message=f"There is no topic {str(topic)[:100]!r}; register it.", field="topic")
    if not isinstance(type, str) or not _TYPE.fullmatch(type) or type == SNAPSHOT:
        raise InvalidValue(
            message=f"type is a word such as shipped, of at most 64 characters, and not {SNAPSHOT}.",
            field="type",
        )
    log.append([event_of(topic, type, clean_content(data), clean_audience(audience))])


async def apublish(
    topic: str, type: str, data: Mapping[str, Any] | None = None, audience: Any = None
) -> None:
    """Do what :func:`publish` does, from async code."""
    await sync_to_async(publish)(topic, type, data, audience)


def clean_content(data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what an event or a snapshot tells as plain JSON without secrets.

    Raises ``InvalidValue`` for what is no JSON object, is nested too deeply, or is larger than
    ``MAX_EVENT_SIZE``.
    """
    if data is not None and not isinstance(data, Mapping):
        raise InvalidValue(message="data is a JSON object: a dict.", field="data")
    clean: dict[str, Any] = safe_json(clean_json(dict(data or {}), "data"))
    if (size := len(msgspec.json.encode(clean))) > conf.MAX_EVENT_SIZE:
        raise InvalidValue(
            message=f"data has {size} bytes; MAX_EVENT_SIZE is {conf.MAX_EVENT_SIZE}.", field="data"
        )
    return clean


def event_of(topic: str, type: str, content: dict[str, Any], audience: dict[str, Any] | None = None) -> Event:
    """Return the row of an event whose values are clean. Raises ``InvalidValue`` for what is no topic."""
    if not is_own(topic):
        raise InvalidValue(message=f"{topic[:100]!r} cannot be a topic.", field="topic")
    data: dict[str, Any] = {"event": type, "data": content}
    if audience is not None and audience["kind"] != EVERYONE:
        data["audience"] = audience
    return Event(kind=TOPIC_EVENT, topic=topic, data=data, created_at=timezone.now())


def append_after(using: str, events: Callable[[], Iterable[Event]]) -> None:
    """Append events once the transaction of ``using``, which is not the log's database, has committed.

    Two databases have no common transaction. ``events`` is called after the commit, in a transaction of
    ``using`` again, so that it may lock the rows it reads until what it tells of them is written. A failure
    is logged: the change itself is committed, and its caller has nothing to mend.
    """

    # No lambda or partial: Django logs a callback that fails by its __qualname__.
    def append() -> None:
        with transaction.atomic(using=using):
            log.append(events(), using=log.database())

    transaction.on_commit(append, using=using, robust=True)
