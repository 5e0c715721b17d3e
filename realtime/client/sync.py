"""The same client without asyncio: the asynchronous one, in a thread of its own. No logic is here."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Iterable, Iterator
from concurrent import futures
from contextlib import suppress
from typing import Any, TypeVar

from realtime.client.client import Client
from realtime.client.errors import ClientClosed
from realtime.client.events import Event, TaskState

T = TypeVar("T")

#: Seconds for the thread to end; and the part of them in which what is open is closed.
FAREWELL, CLOSING = 10.0, 0.8
#: Of the loop, until a socket is closed, with TLS too; and the seconds of each.
ROUNDS, ROUND = 5, 0.005


class SyncClient:
    """Does what :class:`Client` does, with the same arguments and errors; use it in a ``with`` block."""

    def __init__(self, url: str, **options: Any) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client = Client(url, **options)

    def __repr__(self) -> str:
        return f"Sync{self._client!r}"

    def __enter__(self) -> SyncClient:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=[self._loop], name="realtime-client", daemon=True)
        self._thread.start()
        self._do(self._client.__aenter__())
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End every watch, every connection and the thread; what hangs is left behind after a while."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        left = asyncio.run_coroutine_threadsafe(self._leave(), loop)
        left.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))
        try:
            thread.join(FAREWELL)
        finally:
            self._loop = self._thread = None
        if left.done():
            left.result()

    async def _leave(self) -> None:
        """Close the client, and let the loop do what it has put off: sockets are closed a round later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL * CLOSING):
                await self._client.close()
                await asyncio.get_running_loop().shutdown_asyncgens()
        for _ in range(ROUNDS):
            await asyncio.sleep(ROUND)

    def watch(
        self, *task_ids: str | uuid.UUID, topics: Iterable[str] = (), timeout: float | None = None
    ) -> Iterator[Event]:
        """Yield events; see :meth:`Client.watch`. They are read on in the background, up to a bound."""
        events = self._client.watch(*task_ids, topics=topics, timeout=timeout)

        async def following() -> Event | None:
            return await anext(events, None)

        try:
            while (event := self._do(following())) is not None:
                yield event
        finally:
            if self._loop is not None:
                self._do(events.aclose())

    def wait(self, task_id: str | uuid.UUID, timeout: float | None = None) -> Any:
        """Wait for the end of a task; see :meth:`Client.wait`."""
        return self._do(self._client.wait(task_id, timeout))

    def task(self, task_id: str | uuid.UUID) -> TaskState:
        """Return a task as it is now; see :meth:`Client.task`."""
        return self._do(self._client.task(task_id))

    def tasks(self, limit: int = 100, **filters: Any) -> list[TaskState]:
        """Return the newest tasks; see :meth:`Client.tasks`."""
        return self._do(self._client.tasks(limit, **filters))

    def cancel(self, task_id: str | uuid.UUID) -> TaskState:
        """Ask a task to stop; see :meth:`Client.cancel`."""
        return self._do(self._client.cancel(task_id))

    def retry(self, task_id: str | uuid.UUID) -> TaskState:
        """Make a new task of a finished one; see :meth:`Client.retry`."""
        return self._do(self._client.retry(task_id))

    def broadcast(self, message: str, **options: Any) -> dict[str, Any]:
        """Send a notice; see :meth:`Client.broadcast`."""
        return self._do(self._client.broadcast(message, **options))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in the thread and wait; whoever is interrupted here leaves nothing running there."""
        if self._loop is None:
            work.close()
            raise ClientClosed("The client is not open: use it in a with block.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            if future.cancel():
                # What follows may need what it holds: a generator at work cannot be closed.
                futures.wait([asyncio.run_coroutine_threadsafe(_ended(work), self._loop)], FAREWELL)
            raise


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, then close it, which waits for no thread that looks up a name."""
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _ended(work: Coroutine[Any, Any, Any]) -> None:
    """Wait until the task that runs it has ended, which was cancelled before."""
    tasks = [task for task in asyncio.all_tasks() if task.get_coro() is work]
    if tasks:
        await asyncio.wait(tasks)
