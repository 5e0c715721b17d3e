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
        if name == b"token":
            scope[TOKEN_KEY] = unquote_plus(value.decode("latin-1"))
        else:
            kept.append(part)
    if TOKEN_KEY in scope:
        scope["query_string"] = b"&".join(kept)


class Guard:
    """Wraps an ASGI application; put it outermost in ``asgi.py``."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._threads = itertools.cycle(
            [ThreadPoolExecutor(1, f"realtime-stream-{n}") for n in range(STREAM_THREADS)]
        )
        self._path: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on."""
        if scope["type"] in ("http", "websocket"):
            hide_token(scope)
        if scope["type"] == "http" and self._is_stream(scope["path"]):
            # Django gives every request a thread of its own for as long as it lives: with streams,
            # one thread and one database connection per client. They share these instead.
            async with ThreadSensitiveContext(executor=next(self._threads)):
                await self._application(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _is_stream(self, path: str) -> bool:
        if self._path is None:
            try:
                self._path = reverse("realtime:events")
            except NoReverseMatch:
                self._path = "/events"
        return path.rstrip("/").endswith(self._path.rstrip("/"))


def guard(application: Any) -> Guard:
    """Return ``application`` with tokens hidden and streams on shared threads."""
    return Guard(application)
