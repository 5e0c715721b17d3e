"""The app's own bounded threads in which hubs and streams talk to the database.

A stream that used the request's own executor would keep that thread and its connection for as long
as it lives. These threads are few (``DB_THREADS``) and keep one connection each.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connections

from realtime.conf import conf

T = TypeVar("T")

#: Seconds a call may take before its caller goes on without it.
DEADLINE = 30.0

_executor: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(conf.DB_THREADS, thread_name_prefix="realtime-db")
    return _executor


def _forget() -> None:
    """A forked child has the object but none of its threads."""
    global _executor
    _executor = None


os.register_at_fork(after_in_child=_forget)


def release() -> None:
    """Give this thread's connections back: to psycopg's pool if there is one, else keep them.

    ``CONN_MAX_AGE`` 0, which ASGI requires, would close them here; the threads are few and permanent,
    so they keep theirs, as a reconnect costs ten times a query.
    """
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict.get("OPTIONS", {}).get("pool"):
            connection.close()


def _guarded(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return function(*args)
    except (InterfaceError, OperationalError):
        # The server may have restarted under a connection we kept; the next call opens a new one.
        connections.close_all()
        raise
    finally:
        release()


def _call(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return _guarded(function, args)
    except (InterfaceError, OperationalError):
        return _guarded(function, args)


async def run(function: Callable[..., T], *args: Any) -> T:
    """Run ``function`` in one of the threads; it must be safe to run twice.

    A call that fails for the connection's sake is tried once more. Raises ``TimeoutError`` after
    :data:`DEADLINE` seconds, and whatever ``function`` raises.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE):
        return await loop.run_in_executor(_threads(), _call, function, args)


def close() -> None:
    """End the threads and their connections; the next call starts new ones. For tests and shutdown."""
    global _executor
    executor, _executor = _executor, None
    if executor is None:
        return
    for _ in range(executor._max_workers):
        executor.submit(connections.close_all)
    executor.shutdown(wait=True)
