"""What can be seen from inside: settings, the ASGI application, the database, the channel layer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

from channels.layers import get_channel_layer
from channels.routing import get_default_application
from django.core.checks import ERROR as DJANGO_ERROR
from django.core.checks import run_checks
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import NoReverseMatch, reverse

from realtime import database, layer, log
from realtime.broadcasts import alive
from realtime.diagnosis.findings import ERROR, WARNING, Finding, found
from realtime.middleware import WEBSOCKET_PATH, Guard

#: Seconds for the application, and for the layer, to answer.
DEADLINE = 5.0


def settings_findings() -> Iterator[Finding]:
    """Yield what the system checks find, and whether the URLs are there."""
    for check in run_checks(tags=["realtime"]):
        level = ERROR if check.level >= DJANGO_ERROR else WARNING
        yield Finding(str(check.id), str(check.msg), str(check.hint or ""), level)
    try:
        reverse("realtime:events")
    except NoReverseMatch:
        yield found("urls_missing")


def application() -> tuple[Any, list[Finding]]:
    """Return the site's ASGI application, None when it cannot be loaded, and what is wrong with it."""
    try:
        loaded = get_default_application()
    except Exception as error:  # whatever the project's own asgi.py raises
        return None, [found("asgi_broken", error)]
    return loaded, [] if isinstance(loaded, Guard) else [found("guard_missing", type(loaded).__name__)]


def websocket_path() -> str:
    """Return where the project serves the WebSocket, as its guard was told."""
    loaded, _ = application()
    return loaded.websocket_path if isinstance(loaded, Guard) else WEBSOCKET_PATH


async def websocket_findings(loaded: Any) -> list[Finding]:
    """Knock at the application's WebSocket, without a network and without a credential."""
    path = websocket_path()
    scope = {
        **{"type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws"},
        **{"path": path, "raw_path": path.encode(), "root_path": "", "query_string": b""},
        **{"headers": [(b"host", b"localhost")], "subprotocols": []},
        **{"client": ("127.0.0.1", 0), "server": ("localhost", 80)},
    }
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    coming = [{"type": "websocket.connect"}]

    async def receive() -> dict[str, Any]:
        if not coming:
            await asyncio.Event().wait()
        return coming.pop()

    async def send(message: dict[str, Any]) -> None:
        if not answer.done():
            answer.set_result(message["type"])

    knocking = asyncio.ensure_future(loaded(scope, receive, send))
    await asyncio.wait([knocking, answer], timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    knocking.cancel()
    ended = await asyncio.gather(knocking, return_exceptions=True)
    if answer.done() and answer.result() == "websocket.accept":
        return []
    # No route, or whatever stands before ours.
    return [found("websocket_missing", answer.result() if answer.done() else repr(ended[0]))]


def database_findings() -> list[Finding]:
    """Read the log, and compare the tables with the migrations."""
    try:
        executor = MigrationExecutor(connections[log.database()])
        goals = [goal for goal in executor.loader.graph.leaf_nodes() if goal[0] == "realtime"]
        plan = [migration for migration, _ in executor.migration_plan(goals)]
        if missing := [migration.name for migration in plan if migration.app_label == "realtime"]:
            return [found("migrations_missing", ", ".join(missing))]
        log.read_head()
        count = alive(log.database()).count()
        if count > 1 and not layer.crosses_processes():
            return [found("layer_in_memory", f"{count} processes")]
    except DatabaseError as error:
        return [found("database_unreachable", error)]
    finally:
        database.release()
    return []


async def layer_findings() -> list[Finding]:
    """Send a message through the layer to ourselves."""
    configured = get_channel_layer()
    if configured is None:
        return []  # the system checks have said so
    group = f"realtime.check.{uuid.uuid4().hex}"
    try:
        async with asyncio.timeout(DEADLINE):
            channel = await configured.new_channel()
            await configured.group_add(group, channel)
            await configured.group_send(group, {"type": "realtime.check"})
            await configured.receive(channel)
            await configured.group_discard(group, channel)
    except Exception as error:  # each layer has errors of its own
        return [found("layer_unreachable", type(error).__name__)]
    return []
