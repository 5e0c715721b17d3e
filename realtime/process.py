"""This process's one hub, started by whoever needs it first."""

from __future__ import annotations

import asyncio
import contextvars

from realtime import drain, publisher
from realtime.hub import Hub

_hub: Hub | None = None
_started: asyncio.Task[None] | None = None


def present_hub() -> Hub | None:
    """Return the hub that lives on the running loop, whether it has started or not; None is none yet."""
    if _started is None or _started.get_loop() is not asyncio.get_running_loop():
        return None
    return _hub


async def current_hub() -> Hub:
    """Return this process's hub, started; the first caller starts it on its loop.

    Raises ``DatabaseError`` or ``TimeoutError`` when the log cannot be read at the start.
    """
    global _hub, _started
    loop = asyncio.get_running_loop()
    if _hub is None or _started is None or _started.get_loop() is not loop:
        _hub = Hub()
        publisher.settle_on(loop)
        drain.install(loop, _hub.leave)
        # A context of its own: the hub outlives the request that happened to start it.
        _started = loop.create_task(_hub.start(), context=contextvars.Context())
    hub, started = _hub, _started
    try:
        # Shielded: a client that gives up must not end the start for the others.
        await asyncio.shield(started)
    except BaseException:
        failed = started.done() and (started.cancelled() or started.exception() is not None)
        if failed and _started is started:
            _hub = _started = None
            await hub.stop()
        raise
    return hub
