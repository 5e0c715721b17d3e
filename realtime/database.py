"""The app's own bounded threads in which hubs and streams talk to the database.

A stream that used the request's own executor would keep that thread and its connection for as long
as it lives. These threads are few (``DB_THREADS``) and keep one connection each.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError, connections

from realtime.conf import conf

T = TypeVar("T")

#: Seconds a call may take before its caller goes on without it.
DEADLINE = 30.0

_executor: ThreadPoolExecutor | None = None
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


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
    """Run ``function`` in one of the threads, when it is its turn; it must be safe to run twice.

    A call that fails for the connection's sake is tried once more. Raises ``TimeoutError`` after
    :data:`DEADLINE` seconds, waiting included, and whatever ``function`` raises.
    """
    async with asyncio.timeout(DEADLINE), turns():
        return await run_now(function, *args)


async def run_now(function: Callable[..., T], *args: Any) -> T:
    """Do what :func:`run` does without waiting for a turn: for the hub, and for whoever has one."""
    async with asyncio.timeout(DEADLINE):
        return await asyncio.get_running_loop().run_in_executor(_threads(), _call, function, args)


def turns() -> asyncio.Semaphore:
    """Return what streams take before they use a thread, so that one is always left to the hub."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        # Where nobody ran the checks there may be one thread, and streams must still get their turn.
        _by_loop[loop] = asyncio.Semaphore(max(1, conf.DB_THREADS - 1))
    return _by_loop[loop]


def close() -> None:
    """End the threads and their connections; the next call starts new ones. For tests and shutdown."""
    global _executor
    executor, _executor = _executor, None
    if executor is None:
        return
    # They meet, or one thread could take two of these calls and another keep its connection.
    meeting = threading.Barrier(executor._max_workers)

    def hang_up() -> None:
        connections.close_all()
        meeting.wait(DEADLINE)

    for _ in range(executor._max_workers):
        executor.submit(hang_up)
    executor.shutdown(wait=True)
