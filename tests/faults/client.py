"""A client of the cluster: a real socket that is cut again and again, and comes back with its cursor."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.faults.cluster import User
from tests.faults.front import Front
from tests.faults.history import Life, Names
from tests.kit import http_stream
from tests.kit.http_stream import Broken
from tests.kit.ports import HOST
from tests.kit.sse_parser import EventStreamParser

Frame = dict[str, Any]
Choose = Callable[[User, random.Random], Collection[str]]

JSON, MSGPACK, SSE = "WebSocket, JSON", "WebSocket, MessagePack", "SSE"
#: How a client connects, the first time, the second, and so on, over and over.
WAYS = [(JSON,), (MSGPACK,), (SSE,), (JSON, SSE, MSGPACK)]
#: Seconds for a handshake, and of silence after which a connection is given up.
HANDSHAKE, SILENCE = 10.0, 20.0
#: The share of reconnects at which a client forgets everything and begins afresh.
AFRESH = 0.02
#: Close codes, and codes of errors, after which a client comes back by itself.
COMES_BACK = {1000, 1001, 1005, 1006, 1011, 1012, 4410, 4500, 4503}
#: Errors that faults may bring; the client comes back, or watches something else.
EXPECTED = {"not_found", "unavailable", "internal", "restarting", "slow_consumer"}


class Client:
    """One person's program. ``wants`` are topics; without any it watches a few single tasks."""

    def __init__(
        self, user: User, wants: Collection[str], ways: tuple[str, ...], front: Front, names: Names, seed: int
    ) -> None:
        self.user = user
        self.ways = ways
        self.lives = [Life(user.id, user.view_all, names)]
        self.deliveries = 0
        self.connections = 0
        #: Seconds of its longest wait for an event, and the time at which that was over.
        self.longest = (0.0, 0.0)
        #: What it was told and should not have been.
        self.complaints: list[str] = []
        self.choose: Choose = lambda user, random: ()
        #: Whether it is connected, and its subscriptions are acknowledged.
        self.settled = False
        self.task: asyncio.Task[None] | None = None
        #: The last frames: when they came, their types and ids; for whoever must find out what happened.
        self.last: deque[tuple[str, str, int | None]] = deque(maxlen=12)
        self._topics = set(wants)
        self._wanted: set[str] = set(wants)
        self._front = front
        self._names = names
        self._random = random.Random(seed)
        self._since = 0.0

    @property
    def life(self) -> Life:
        """Its present history."""
        return self.lives[-1]

    def __str__(self) -> str:
        view = self.life.view
        held = f"{sorted(view.topics)}, {sorted(view.task_ids)} at {view.cursor}"
        state = "settled" if self.settled else "not settled"
        return f"user {self.user.id}, {self.ways}, {state}, wants {self._wanted}, has {held}: {[*self.last]}"

    @property
    def idle(self) -> bool:
        """Whether there is nothing that it could watch."""
        return not self._wanted

    def stop(self) -> None:
        """Let it go; it is owed everything up to here."""
        if self.task is not None:
            self.task.cancel()

    async def run(self) -> None:
        """Connect and come back for ever."""
        failures = 0
        self.task = asyncio.current_task()
        while True:
            way = self.ways[self.connections % len(self.ways)]
            self.connections += 1
            self._since = time.time()
            try:
                if self._random.random() < AFRESH:
                    self._begin_anew()
                await (self._stream() if way == SSE else self._socket(way))
            except (OSError, EOFError, WebSocketException, Broken, TimeoutError):
                pass  # cut, refused, or not answered: that is what it is here for
            failures = 0 if self.settled else min(failures + 1, 6)
            self.settled = False
            self.life.end_connection()
            await asyncio.sleep(self._random.uniform(0, 0.1 + 0.02 * 2**failures))

    def _begin_anew(self) -> None:
        """Forget everything: another history begins."""
        self.life.finish()
        self.lives.append(Life(self.user.id, self.user.view_all, self._names))
        self._wanted = set(self._topics)

    def _choose(self) -> None:
        if not self._topics and not self._wanted:
            self._wanted = set(self.choose(self.user, self._random))

    # -- WebSocket ----------------------------------------------------------------------------

    async def _socket(self, way: str) -> None:
        self._choose()
        if not self._wanted:
            return
        async with asyncio.timeout(HANDSHAKE):
            connection = await connect(
                f"ws://{HOST}:{self._front.port}/ws",
                subprotocols=[Subprotocol("realtime.msgpack")] if way == MSGPACK else None,
                additional_headers={"Authorization": f"Bearer {self.user.token}"},
                compression=None,
                proxy=None,
                ping_interval=None,
                close_timeout=1,
                max_size=None,
            )
        try:
            view = self.life.view
            if view.cursor is not None:
                await self._say(connection, view.resume())
            await self._ask(connection)
            while True:
                async with asyncio.timeout(SILENCE):
                    message = await connection.recv()
                frame = json.loads(message) if isinstance(message, str) else msgpack.unpackb(message)
                self._take(frame)
                if frame["type"] == "ping":
                    await self._say(connection, {"action": "pong", "t": frame["t"]})
                elif frame["type"] == "done" and self.settled:
                    self._choose()
                    await self._ask(connection)
        finally:
            code = connection.close_code
            connection.transport.abort()
            if code is not None and code not in COMES_BACK:
                self.complaints.append(f"closed with {code}")

    async def _ask(self, connection: ClientConnection) -> None:
        """Subscribe to what is wanted and not acknowledged."""
        view = self.life.view
        topics = sorted(self._wanted & self._topics - view.topics)
        task_ids = sorted(self._wanted - self._topics - view.task_ids)
        if topics or task_ids:
            await self._say(connection, {"action": "subscribe", "topics": topics, "task_ids": task_ids})

    async def _say(self, connection: ClientConnection, frame: Frame) -> None:
        packed = connection.subprotocol is not None
        await connection.send(msgpack.packb(frame) if packed else json.dumps(frame))

    # -- SSE ----------------------------------------------------------------------------------

    async def _stream(self) -> None:
        view = self.life.view
        if view.cursor is not None:
            self._wanted &= view.topics | view.task_ids
            if not self._wanted:
                # A stream has one subscribe: what is watched next is another stream.
                self._begin_anew()
                view = self.life.view
        self._choose()
        if not self._wanted:
            return
        asked = [("topic" if name in self._topics else "task_id", name) for name in sorted(self._wanted)]
        headers = {"Host": HOST, "Authorization": f"Bearer {self.user.token}"}
        if view.cursor is not None:
            headers["Last-Event-ID"] = str(view.cursor)
        reader, writer = await asyncio.open_connection(HOST, self._front.port)
        try:
            writer.write(http_stream.request(f"/events?{urlencode(asked)}", headers))
            async with asyncio.timeout(HANDSHAKE):
                status, answer = await http_stream.read_head(reader)
            if status == 200:
                await self._read(http_stream.read_body(reader, status, answer))
            elif status == 204:
                self.life.nothing_left()
                self._wanted.clear()
            elif status == 404:
                self._wanted.clear()
            elif status not in (500, 503):
                self.complaints.append(f"answered {status}")
        finally:
            writer.transport.abort()

    async def _read(self, body: Any) -> None:
        parser = EventStreamParser()
        pieces = aiter(body)
        while True:
            async with asyncio.timeout(SILENCE):
                piece = await anext(pieces, None)
            if piece is None:
                return
            for event in parser.feed(piece):
                self._take(event.json)

    # -- frames -------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        kind = frame["type"]
        self.last.append((f"{time.time():.3f}", kind, frame.get("id")))
        if self.life.take(frame):
            self.deliveries += 1
            told = datetime.fromisoformat(frame["timestamp"]).timestamp()
            waited = (now := time.time()) - max(told, self._since)
            if waited > self.longest[0]:
                self.longest = (waited, now)
        elif kind == "subscribed":
            self.settled = True
        elif kind == "reset":
            self.settled = False
        elif kind == "unsubscribed":
            self._wanted -= {*frame["task_ids"], *frame["topics"]}
        elif kind == "done":
            self._wanted.discard(frame["task_id"])
        elif kind == "error":
            self._wanted.discard(frame.get("task_id", ""))
            if frame["code"] not in EXPECTED:
                self.complaints.append(f"error {frame['code']}")
            elif frame["code"] == "unavailable":
                # What was asked for will not be answered: ask again, on another connection.
                raise ConnectionError("The server could not read what was asked for.")
