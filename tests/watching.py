"""A stream in this process and its client: asks, reads, and keeps every frame and batch."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework_simplejwt.settings import api_settings

from realtime import database, log
from realtime.conf import conf
from realtime.events import LogEvent, Viewer, now
from realtime.hub import Hub
from realtime.models import Event
from realtime.protocol import client
from realtime.protocol.delivery import Payload, as_text
from realtime.stream import Stream, Timers

Frame = dict[str, Any]

#: For LOG_CHECK_INTERVAL: the hub looks at the log when the test says so.
NEVER = 3600


@pytest.fixture(autouse=True)
def when_told(settings: Any) -> None:
    """The hubs look at the log when the test says so, reports come at once; for modules that import it."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": NEVER, "PROGRESS_INTERVAL": 0}


class Watcher:
    """One connection's stream, without a server; use it in a ``with`` block."""

    def __init__(self, hub: Hub, viewer: Viewer, **options: Any) -> None:
        self.stream = Stream(hub, viewer, as_text, Timers(), **options)
        self.batches: list[list[Payload]] = []
        self.frames: list[Frame] = []
        self._unread: list[Frame] = []

    def ask(self, message: client.ClientMessage) -> None:
        """Send a message to the server."""
        self.stream.commands.post(message)

    async def next(self) -> list[Frame]:
        """Return the next batch; an AssertionError when nothing comes, and what the stream raises."""
        try:
            async with asyncio.timeout(10):
                batch = await self.stream.next()
        except TimeoutError:
            raise AssertionError(f"nothing came after {self.types}") from None
        self.batches.append(batch)
        frames = [json.loads(payload) for payload in batch]
        self.frames += frames
        self._unread += frames
        return frames

    async def until(self, type: str, fits: Callable[[Frame], bool] = lambda frame: True) -> Frame:
        """Return the next frame of that type that has not been looked at."""
        while True:
            while self._unread:
                frame = self._unread.pop(0)
                if frame["type"] == type and fits(frame):
                    return frame
            assert await self.next(), f"the stream ended without {type}: {self.types}"

    async def settled(self) -> None:
        """Wait until the server has answered all that was asked before: a ping comes back."""
        self.ask(client.Ping(t="settled"))
        await self.until("pong")

    @property
    def types(self) -> list[str]:
        """The types of all frames, in order."""
        return [frame["type"] for frame in self.frames]

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stream.close()


def event(position: int, owner: str = "1", text: str = "", **fields: Any) -> LogEvent:
    """Return an event of a task of its own, as a hub is given it by the layer."""
    task_id = str(uuid.UUID(int=position))
    data = {"task_id": task_id, "status": "running", "version": 1, "message": text}
    values = {"kind": "task_update", "task_id": task_id, "owner": owner, "version": 1, "data": data} | fields
    return LogEvent(position=position, timestamp=now(), **values)


def log_updates(owner: str, count: int, text: str = "") -> None:
    """Write updates of as many tasks into the log, without the tasks."""
    rows = [event(number + 1, owner, text) for number in range(count)]
    log.append(
        Event(
            kind=row.kind,
            task_id=row.task_id,
            owner=row.owner,
            version=row.version,
            data=row.data,
            created_at=timezone.now(),
        )
        for row in rows
    )


@contextmanager
def dying_after_commit(using: str) -> Iterator[None]:
    """Write as a process does that is killed between its commit and the positioning of its events."""
    with transaction.atomic(using=using):
        yield
        connections[using].run_on_commit.clear()


@asynccontextmanager
async def no_turns() -> AsyncIterator[None]:
    """Take every turn at the database: streams wait for theirs, the hub goes on."""
    async with AsyncExitStack() as taken:
        for _ in range(conf.DB_THREADS - 1):
            await taken.enter_async_context(database.turns())
        yield


def token(user: Any) -> str:
    """Return an access token as the token endpoint gives it."""
    serializer = import_string(api_settings.TOKEN_OBTAIN_SERIALIZER)
    return str(serializer.get_token(user).access_token)


@asynccontextmanager
async def hanging_database() -> AsyncIterator[None]:
    """Keep every thread that talks to the database waiting for its answer."""
    answer = threading.Event()
    calls = [asyncio.create_task(database.run_now(answer.wait, 30)) for _ in range(conf.DB_THREADS)]
    try:
        yield
    finally:
        answer.set()
        await asyncio.gather(*calls)
