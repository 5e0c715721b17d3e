"""One WebSocket of a test, without a wire: what an ASGI server would do, and what its client hears."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from typing import Any, cast

from rest_framework_simplejwt.tokens import AccessToken

from realtime import database
from realtime.auth import tokens
from realtime.consumers import StatusConsumer

Frame = dict[str, Any]
#: Seconds a consumer has for its last words.
CLOSING = 5.0


class Refusal(Exception):
    """The server said no: ``code`` as in the table of errors."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def _token(user: Any) -> str:
    return str(tokens.stamp(AccessToken.for_user(user), user))


class Connection:
    """A client's end of ``/ws``; everything here runs on the server's loop."""

    def __init__(self) -> None:
        #: Everything received, in order.
        self.frames: list[Frame] = []
        #: The code with which the server closed, or None.
        self.closed: int | None = None
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._arrived = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._passed = 0
        self._numbers = itertools.count(1)

    async def open(self, user: Any, timeout: float) -> None:
        """Connect with an access token, and wait for ``connected``."""
        authorization = f"Bearer {await database.run(_token, user)}"
        scope = {
            "type": "websocket",
            "path": "/ws",
            "raw_path": b"/ws",
            "query_string": b"",
            "headers": [(b"host", b"testserver"), (b"authorization", authorization.encode())],
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
        }
        self._inbox.put_nowait({"type": "websocket.connect"})
        consumer = StatusConsumer(scope, self._inbox.get, self._hear)
        self._serving = asyncio.create_task(consumer.serve())
        self._serving.add_done_callback(self._ended)
        await self.answer(timeout, "connected")

    async def _hear(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self.frames.append(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            self.closed = message.get("code", 1000)
        self._arrived.set()

    def _ended(self, serving: asyncio.Task[None]) -> None:
        if self.closed is None:
            self.closed = 1006 if not serving.cancelled() and serving.exception() else 1000
        self._arrived.set()

    def send(self, message: Mapping[str, Any]) -> int:
        """Send a message with a ``request_id`` of its own, and return that."""
        request_id = next(self._numbers)
        text = json.dumps({"request_id": request_id, **message}, default=str)
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})
        return request_id

    async def ask(self, message: Mapping[str, Any], answer: str, timeout: float) -> Frame:
        """Send a message and wait for its answer. Raises ``Refusal`` when that is an ``error``."""
        return await self.answer(timeout, answer, self.send(message))

    async def answer(self, timeout: float, type: str, request_id: int | None = None) -> Frame:
        """Wait for a frame of that type, or for the ``error`` that comes in its stead."""

        def fits(frame: Frame) -> bool:
            return frame.get("request_id") == request_id and frame["type"] in (type, "error")

        frame = await self._next(fits, timeout, type)
        if frame["type"] == "error":
            raise Refusal(frame["code"], frame["message"])
        return frame

    async def wait(self, type: str, timeout: float, fields: Mapping[str, Any]) -> Frame:
        """Wait for the next frame of that type that has these values, itself or in its ``data``."""
        wanted = {name: value if value is None else _plain(value) for name, value in fields.items()}

        def fits(frame: Frame) -> bool:
            content = {**_inner(frame), **frame}
            return frame["type"] == type and all(
                name in content and content[name] == value for name, value in wanted.items()
            )

        asked = "".join(f", {name}={value!r}" for name, value in wanted.items())
        return await self._next(fits, timeout, f"{type}{asked}")

    async def _next(self, fits: Any, timeout: float, what: str) -> Frame:
        first = self._passed
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while self._passed < len(self.frames):
                        self._passed += 1
                        if fits(frame := self.frames[self._passed - 1]):
                            return frame
                    if self.closed is not None:
                        raise ConnectionError(f"closed with {self.closed} before {what}{self._since(first)}")
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise TimeoutError(f"no {what} within {timeout} seconds{self._since(first)}") from None

    def _since(self, first: int) -> str:
        came = [json.dumps(frame) for frame in self.frames[first:]]
        return "; since the wait before came\n  " + "\n  ".join(came) if came else "; nothing came"

    async def close(self) -> None:
        """Hang up, and wait until the consumer has noticed."""
        if self._serving is None:
            return
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait([self._serving], timeout=CLOSING)
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)


def _inner(frame: Frame) -> Frame:
    data = frame.get("data")
    return data if isinstance(data, dict) else {}


def _plain(value: Any) -> Any:
    """Return a value as frames have it: ids as text."""
    return cast(Any, json.loads(json.dumps(value, default=str)))
