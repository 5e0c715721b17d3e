"""The ASGI guard around a whole project: credentials leave the URL, streams share a few threads."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings
from django.urls import NoReverseMatch, reverse

from realtime.auth import credentials

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("realtime.server")

#: Where a stream leaves what must be done when its request has ended, however it ended.
DEPARTURES_KEY = "realtime.departures"
#: Where a view reads under which path the project serves the WebSocket.
WEBSOCKET_PATH_KEY, WEBSOCKET_PATH = "realtime.websocket_path", "/ws"
#: Threads for the synchronous parts of all streams' requests together.
STREAM_THREADS = 2


class Guard:
    """Wraps an ASGI application; put it outermost in ``asgi.py``."""

    def __init__(self, application: Application, websocket_path: str) -> None:
        self._application = application
        self._websocket_path = websocket_path.rstrip("/")
        self._threads = itertools.cycle(
            [ThreadPoolExecutor(1, f"realtime-stream-{n}") for n in range(STREAM_THREADS)]
        )
        self._stream_path: str | None = None
        self._server_is_known = False

    @property
    def websocket_path(self) -> str:
        """Where the project serves the WebSocket."""
        return self._websocket_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on; those that are not ours as they are, but for where the WebSocket is."""
        if not self._server_is_known:
            self._server_is_known = True
            if keeps_everything(send) and not settings.DEBUG:
                logger.warning(
                    "This daphne keeps in memory, without end, what slow clients do not read. Serve with "
                    "uvicorn, or guard daphne as docs/deploy.md describes."
                )
        if scope["type"] == "http":
            scope[WEBSOCKET_PATH_KEY] = self._websocket_path
        if scope["type"] in ("websocket", "http") and _path(scope) == self._websocket_path:
            # HTTP too: what comes through a proxy that does not pass the upgrade on.
            credentials.hide(scope)
        elif scope["type"] == "http" and _path(scope) == self._path_of_streams():
            credentials.hide(scope)
            # Django gives every request a thread of its own for as long as it lives: with streams,
            # one thread and one database connection per client. They share these instead.
            # And it may drop a stream that it never began: then no ``finally`` runs but this.
            with ExitStack() as departures:
                scope[DEPARTURES_KEY] = departures
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


def keeps_everything(send: Any) -> bool:
    """Whether the server is a daphne as it comes, whose ``send`` never waits; others do, or are not known."""
    daphne: Any = sys.modules.get("daphne.server")
    server = getattr(getattr(send, "func", None), "__self__", None)
    if daphne is None or not isinstance(server, daphne.Server):
        return False
    return bool(type(server).handle_reply is daphne.Server.handle_reply)


def _path(scope: Scope) -> str:
    """Return the path below the place where the project is mounted, without a slash at its end."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).rstrip("/")


def guard(application: Any, websocket_path: str = WEBSOCKET_PATH) -> Guard:
    """Return ``application`` with our credentials hidden and our streams on shared threads.

    ``websocket_path`` is where the project serves the WebSocket, below the place where it is mounted:
    ``/live/ws``. ``/asyncapi.json`` and ``realtime_check`` say and try the same.
    """
    return Guard(application, websocket_path)
