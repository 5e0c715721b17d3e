"""What a process does again and again beside following the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any

from realtime import layer, log
from realtime.conf import conf
from realtime.events import LogEvent
from realtime.subscriber import Subscriber

logger = logging.getLogger("realtime.hub")


class Attempts:
    """Work that is done again after an interval, whatever happened; a failure is said once per outage."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    async def make(self, complaint: str, work: Coroutine[Any, Any, object]) -> None:
        """Do the work; log ``complaint`` and the error when it begins to fail."""
        try:
            await work
            self._failing.discard(complaint)
        except Exception as error:
            if complaint not in self._failing:
                logger.warning("%s: %r", complaint, error)
            self._failing.add(complaint)


async def watch_transports(subscribers: Collection[Subscriber]) -> None:
    """End, for ever, the clients whose transport has been writing for longer than ``SEND_TIMEOUT``.

    A task of its own: a database that hangs must not keep stuck clients alive.
    """
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(min(1.0, conf.SEND_TIMEOUT / 4))
        limit = clock() - conf.SEND_TIMEOUT
        for subscriber in [*subscribers]:
            since = subscriber.busy_since
            if since is not None and since < limit and subscriber.on_stuck:
                subscriber.on_stuck()


def sequence_orphans(using: str | None) -> list[LogEvent]:
    """Position what a dead process left; ask first, or every hub would take SQLite's write lock."""
    return log.sequence(using=using, publish=False) if log.has_pending(using) else []


async def ring_for(orphans: list[LogEvent], channel_layer: Any = None) -> None:
    """Tell the other processes about orphans, which nobody has published."""
    try:
        await layer.send(orphans, channel_layer)
    except Exception:
        logger.debug("Orphans were not rung for.", exc_info=True)
