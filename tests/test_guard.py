"""The ASGI guard takes our tokens out of our URLs, and leaves everything else alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.auth import CREDENTIALS_KEY, Presented, find
from realtime.middleware import guard

Scope = dict[str, Any]


def passed(scope: Scope, **options: Any) -> Scope:
    """Return the scope as the application behind the guard sees it."""
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(dict(scope))

    async def nothing(*message: Any) -> Any:
        raise AssertionError("nothing is received or sent")

    asyncio.run(guard(application, **options)(scope, nothing, nothing))
    return seen[0]


def asked(type: str, path: str, query: bytes, root_path: str = "") -> Scope:
    """Return the scope of a request."""
    return {"type": type, "path": path, "query_string": query, "root_path": root_path, "headers": []}


@pytest.mark.requirement("K11")
@pytest.mark.parametrize(("type", "path"), [("http", "/events"), ("http", "/events/"), ("websocket", "/ws")])
@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"token=SECRET", b""),
        (b"token=SECRET&topic=mine", b"topic=mine"),
        (b"topic=mine&token=SECRET&task_id=1", b"topic=mine&task_id=1"),
        (b"%74oken=SECRET&topic=mine", b"topic=mine"),
        (b"%74%6F%6b%65n=SECR%45T", b""),
    ],
)
def test_our_token_leaves_the_url_and_is_found(type: str, path: str, query: bytes, kept: bytes) -> None:
    """However its name is written: no server, log or error page sees it, the door still does."""
    scope = asked(type, path, query)
    seen = passed(scope)
    # The same object: the server writes its own to the access log.
    assert scope["query_string"] == seen["query_string"] == kept
    assert find(seen) == Presented("token", "SECRET")


@pytest.mark.requirement("K11")
def test_of_two_tokens_none_stays() -> None:
    """The last one counts, as in Django's query strings."""
    seen = passed(asked("http", "/events", b"token=ONE&topic=mine&token=TWO"))
    assert seen["query_string"] == b"topic=mine"
    assert find(seen) == Presented("token", "TWO")


@pytest.mark.requirement("K11")
def test_a_handshake_that_comes_as_plain_http() -> None:
    """Through a proxy that passes no upgrade on: refused by the project, and nothing of it is logged."""
    seen = passed(asked("http", "/ws", b"token=ONE&ticket=TWO&x=1"))
    assert seen["query_string"] == b"x=1"


@pytest.mark.parametrize(
    ("type", "path"),
    [
        ("http", "/"),
        ("http", "/accounts/reset"),
        ("http", "/x/events"),
        ("http", "/events/archive"),
        ("http", "/eventsx"),
        ("http", "/x/ws"),
        ("websocket", "/x/ws"),
        ("websocket", "/wsx"),
        ("websocket", "/events"),
        ("websocket", "/chat"),
    ],
)
def test_the_tokens_of_others_stay(type: str, path: str) -> None:
    """A host project's password reset, or its own stream, keeps the parameter it named so."""
    seen = passed(asked(type, path, b"token=reset-token&x=1"))
    assert seen["query_string"] == b"token=reset-token&x=1"
    assert CREDENTIALS_KEY not in seen


@pytest.mark.requirement("K11")
@pytest.mark.parametrize(("type", "path"), [("http", "/events"), ("websocket", "/ws")])
def test_a_project_mounted_below_a_path(type: str, path: str) -> None:
    """A server that mounts the site puts its own part before ours; that does not unhide the token."""
    seen = passed(asked(type, f"/site{path}", b"token=SECRET", root_path="/site"))
    assert seen["query_string"] == b""
    assert find(seen) == Presented("token", "SECRET")


@pytest.mark.requirement("K11")
@pytest.mark.parametrize("websocket_path", ["/live/ws", "/live/ws/"])
def test_the_websockets_place_is_the_projects_choice(websocket_path: str) -> None:
    """There the token is hidden; what is then at /ws is somebody else's."""
    ours = passed(asked("websocket", "/live/ws", b"token=SECRET"), websocket_path=websocket_path)
    theirs = passed(asked("websocket", "/ws", b"token=other"), websocket_path=websocket_path)
    assert ours["query_string"] == b""
    assert theirs["query_string"] == b"token=other"


def test_a_url_without_a_token_is_not_touched() -> None:
    """Byte for byte, odd as it may be."""
    query = b"topic=mine&&=&x=%zz&tokens=1&TOKEN=2"
    seen = passed(asked("http", "/events", query))
    assert seen["query_string"] == query
    assert CREDENTIALS_KEY not in seen


def test_a_lifespan_passes() -> None:
    """A scope without a path is not ours."""
    assert passed({"type": "lifespan"}) == {"type": "lifespan"}
