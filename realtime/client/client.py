"""The client for asyncio: watch tasks, wait for their end, cancel, retry, broadcast."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block around every call

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec

from realtime.client.credential import Credential
from realtime.client.errors import ClientClosed, Denied, NotFound, Overdue, TaskCancelled, TaskFailed
from realtime.client.events import (
    Event,
    TaskDeleted,
    TaskRemoved,
    TaskState,
    TaskUpdate,
    Unsubscribed,
)
from realtime.client.http import Http, Places, parameter
from realtime.client.session import Session
from realtime.client.timing import Timing
from realtime.client.watch import Watch
from realtime.events import COMPLETED, FAILED
from realtime.exceptions import TOKEN_EXPIRED
from realtime.topics import MINE


class Client:
    """A site's tasks, for one user; use it in an ``async with`` block.

    ``url`` is where the site is: ``https://example.com``. The credential is an access ``token``, a
    ``refresh`` token that renews it, or a ``username`` and a ``password``. ``context`` is for a site whose
    certificate is of an authority of your own.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        refresh: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timing: Timing | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._places = Places.of(url)
        self._credential = Credential(token, refresh, username, password)
        self._timing = timing or Timing()
        self._context = context
        self._http: Http | None = None
        self._watches: set[Watch] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._places.base!r})"

    async def __aenter__(self) -> Client:
        self._http = Http(self._places.base, self._timing.connect, self._context)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every watch and every connection."""
        await asyncio.gather(*[watch.close() for watch in [*self._watches]])
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    # -- following ----------------------------------------------------------------------------

    async def watch(
        self, *task_ids: str | uuid.UUID, topics: Iterable[str] = (), timeout: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of tasks and topics, each once, in order, whatever becomes of the line.

        First the rows as they are now, then ``Subscribed``, then every change. Without a task or a topic:
        ``mine``. It ends when all of the tasks have, and never where a topic is watched.

        Raises ``NotFound`` for a task that this user may not see, ``Denied`` when the server says no for
        good, ``Overdue`` after ``timeout`` seconds in all.
        """
        wanted = [str(uuid.UUID(str(task_id))) for task_id in task_ids]
        topics = [topics] if isinstance(topics, str) else [*topics]
        if not wanted and not topics:
            topics = [MINE]
        watch = Watch(
            Session(wanted, topics),
            self._places,
            self._opened(),
            self._credential,
            self._timing,
            self._context,
        )
        self._watches.add(watch)
        watch.start()
        end = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            while True:
                try:
                    async with asyncio.timeout_at(end):
                        event = await watch.next()
                except TimeoutError:
                    raise Overdue(f"Not within {timeout} s.") from None
                if event is None:
                    return
                yield event
        finally:
            self._watches.discard(watch)
            await watch.close()

    async def wait(self, task_id: str | uuid.UUID, timeout: float | None = None) -> Any:
        """Wait for the end of a task and return its result.

        Raises ``TaskFailed`` or ``TaskCancelled``, which carry the task; ``NotFound`` when there is none, or
        it was deleted or given away; ``Overdue``; ``Denied``.
        """
        async with aclosing(self.watch(task_id, timeout=timeout)) as events:
            async for event in events:
                if isinstance(event, TaskUpdate) and event.task.final:
                    return await self._result(event.task)
                if isinstance(event, TaskDeleted | TaskRemoved | Unsubscribed):
                    break
        raise NotFound(f"The task {task_id} is gone.")

    async def _result(self, task: TaskState) -> Any:
        if task.truncated:
            # An event has not the room for everything.
            task = await self.task(task.task_id)
        if task.status == COMPLETED:
            return task.result
        raise TaskFailed(task) if task.status == FAILED else TaskCancelled(task)

    # -- asking -------------------------------------------------------------------------------

    async def task(self, task_id: str | uuid.UUID) -> TaskState:
        """Return a task as it is now, with all its fields. Raises ``NotFound``."""
        return _task(await self._call("GET", f"api/tasks/{_id(task_id)}/"))

    async def tasks(self, limit: int = 100, **filters: Any) -> list[TaskState]:
        """Return the newest tasks that this user may see, at most ``limit``.

        ``filters`` are the parameters of ``GET /api/tasks/``: ``status``, ``active``, ``owner``, ``search``,
        ``created_after``, ``created_before``, ``retry_of``.
        """
        asked = {name: _written(value) for name, value in filters.items() if value is not None}
        found: list[TaskState] = []
        cursor: dict[str, str] = {}
        while len(found) < limit:
            page = await self._call("GET", "api/tasks/", params={**asked, **cursor, "page_size": 100})
            found += [_task(row) for row in page["results"]]
            if page["next"] is None:
                break
            # Not the reference itself: what a proxy makes of it is no place to send a token to.
            cursor = {"cursor": parameter(page["next"], "cursor")}
        return found[:limit]

    async def cancel(self, task_id: str | uuid.UUID) -> TaskState:
        """Ask a task to stop: a pending one is cancelled at once, a running one by its worker."""
        return _task(await self._call("POST", f"api/tasks/{_id(task_id)}/cancel/"))

    async def retry(self, task_id: str | uuid.UUID) -> TaskState:
        """Make a new task of a finished one, and return it."""
        return _task(await self._call("POST", f"api/tasks/{_id(task_id)}/retry/"))

    async def broadcast(
        self, message: str, *, idempotency_key: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Send a notice; needs the permission ``realtime.add_broadcast``.

        ``options`` are the fields of ``POST /broadcast``: ``title``, ``type``, ``level``, ``data``,
        ``audience``, ``starts_at``, ``ends_at``, ``dismissible``. Returns the answer: ``id``, ``status``,
        ``recipient_count``, ``complete``. Without a key of yours it has one of its own, so that no
        repetition sends it twice.
        """
        body = {"message": message}
        body |= {k: v.isoformat() if isinstance(v, datetime) else v for k, v in options.items()}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        answer: dict[str, Any] = await self._call("POST", "broadcast", json=body, headers=headers)
        return answer

    def _opened(self) -> Http:
        if self._http is None:
            raise ClientClosed("The client is not open: use it in an async with block.")
        return self._http

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request as this user; once more with a new token if the old one has ended."""
        http = self._opened()
        token = await self._credential.token(http)
        try:
            return await http.call(method, path, token=token, **options)
        except Denied as denied:
            if denied.code != TOKEN_EXPIRED.code or not self._credential.renewable:
                raise
        return await http.call(method, path, token=await self._credential.token(http, token), **options)


def _id(task_id: str | uuid.UUID) -> uuid.UUID:
    return uuid.UUID(str(task_id))


def _task(body: Mapping[str, Any]) -> TaskState:
    return msgspec.convert(body, TaskState)


def _written(value: Any) -> Any:
    """Write a filter as a query string has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else value
