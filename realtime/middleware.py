"""The ASGI guard around a whole project: tokens leave the URL, streams share a few threads."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_plus

from asgiref.sync import ThreadSensitiveContext
from django.urls import NoReverseMatch, reverse

from realtime.auth import TOKEN_KEY

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Threads for the synchronous parts of all streams' requests together.
STREAM_THREADS = 2


def hide_token(scope: Scope) -> None:
    """Take ``token`` out of the query string, in place, and keep it beside.

    Servers write the scope's query string to their access logs when the response begins (uvicorn
    however it is started); Django puts it on its error pages.
    """
    kept = []
    for part in scope.get("query_string", b"").split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_plus(name.decode("latin-1")) == "token":
            scope[TOKEN_KEY] = unquote_plus(value.decode("latin-1"))
        else:
            kept.append(part)
    if TOKEN_KEY in scope:
        scope["query_string"] = b"&".join(kept)


class Guard:
    """Wraps an ASGI application; put it outermost in ``asgi.py``."""

    def __init__(self, application: Application, websocket_path: str) -> None:
        self._application = application
        self._websocket_path = websocket_path.rstrip("/")
        self._threads = itertools.cycle(
            [ThreadPoolExecutor(1, f"realtime-stream-{n}") for n in range(STREAM_THREADS)]
        )
        self._stream_path: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on; those that are not ours untouched."""
        if scope["type"] == "websocket" and _path(scope) == self._websocket_path:
            hide_token(scope)
        elif scope["type"] == "http" and _path(scope) == self._path_of_streams():
            hide_token(scope)
            # Django gives every request a thread of its own for as long as it lives: with streams,
            # one thread and one database connection per client. They share these instead.
            async with ThreadSensitiveContext(executor=next(self._threads)):
                await self._application(scope, receive, send)
            return
        await self._application(scope, receive, send)

    def _path_of_streams(self) -> str:
        # Only now: the URLs cannot be read before the application has been set up.
        if self._stream_path is None:
            try:
                self._stream_path = reverse("realtime:events").rstrip("/")
            except NoReverseMatch:
                self._stream_path = "/events"
        return self._stream_path


def _path(scope: Scope) -> str:
    """Return the path below the place where the project is mounted, without a slash at its end."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/")


def guard(application: Any, websocket_path: str = "/ws") -> Guard:
    """Return ``application`` with our tokens hidden and our streams on shared threads.

    ``websocket_path`` is where the project serves the WebSocket.
    """
    return Guard(application, websocket_path)
