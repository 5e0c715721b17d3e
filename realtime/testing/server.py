"""A server within the test's process: the real consumer and hub, on a loop in a thread of their own."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from realtime import database, log, process
from realtime.testing.connection import Connection

T = TypeVar("T")

#: Seconds beyond a call's own deadline after which the loop itself is given up.
GRACE = 10.0


class Server:
    """Serves connections on its own loop, beside the thread of the test, as a server beside a worker.

    So synchronous and asynchronous tests use it alike, on any loop. It reads the log through connections of
    its own: what the test has not committed it never sees.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="realtime-testing", daemon=True)
        self._connections: list[Connection] = []

    def start(self) -> None:
        """Begin to serve. Raises ``ImproperlyConfigured`` for a database that one thread alone can use."""
        connection: Any = connections[log.database()]
        if connection.vendor == "sqlite" and connection.is_in_memory_db():
            raise ImproperlyConfigured(
                "A test client reads the database from other threads, and SQLite in memory does not let it. "
                "In the settings of your tests, give the test database a file: "
                'DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}'
            )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 0.0) -> T:
        """Do ``work`` on the server's loop and wait for it, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout + GRACE)

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` on the server's loop, awaited on another."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def connect(self, user: Any, timeout: float) -> Connection:
        """Open a WebSocket as ``user``, on the server's loop; raises ``Refusal``."""
        connection = Connection()
        self._connections.append(connection)
        await connection.open(user, timeout)
        return connection

    def stop(self) -> None:
        """Close every connection, end the hub, and leave nothing behind."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        try:
            self.run(self._end(), timeout=GRACE)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(GRACE)
            self._loop.close()
            database.close()

    async def _end(self) -> None:
        for connection in self._connections:
            await connection.close()
        if (hub := process.present_hub()) is not None:
            await hub.stop()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        # The ORM of asynchronous tests has a thread whose connection nobody else closes.
        await sync_to_async(connections.close_all)()
        await self._loop.shutdown_default_executor()
