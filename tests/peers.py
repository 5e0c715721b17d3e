"""One WebSocket straight into the ASGI application: the test is the server and the client at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from project.asgi import application
from realtime import publisher
from realtime.hub import Hub
from realtime.process import current_hub
from tests.kit.waiting import aeventually

Frame = dict[str, Any]


class Peer:
    """What a server holds of one connection: messages in, messages out, and whether it can send."""

    def __init__(self, token: str) -> None:
        self.sent: list[dict[str, Any]] = []
        #: What the application has begun to send last.
        self.sending: dict[str, Any] = {}
        #: Cleared, every send waits, as behind a client that has stopped reading.
        self.can_send = asyncio.Event()
        self.can_send.set()
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "websocket",
            "path": "/ws",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "subprotocols": [],
        }
        self._in.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.create_task(application(scope, self._in.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sending = message
        await self.can_send.wait()
        self.sent.append(message)

    def say(self, **message: Any) -> None:
        """Let the client send a message."""
        self._in.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    @property
    def frames(self) -> list[Frame]:
        """Every frame sent to the client, in order."""
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]

    @property
    def close_code(self) -> int | None:
        """The code with which the application closed, None while open."""
        last = self.sent[-1] if self.sent else {}
        return last["code"] if last.get("type") == "websocket.close" else None

    @property
    def unread(self) -> int:
        """Messages of the client that the application has not taken yet."""
        return self._in.qsize()

    async def wait(self, type: str) -> Frame:
        """Return the first frame of that type, now or later."""
        return await aeventually(lambda: next((f for f in self.frames if f["type"] == type), None))

    async def wait_closed(self) -> int:
        """Wait until the application has closed the connection, and return the code."""
        await asyncio.wait_for(self._serving, 10)
        assert self.close_code is not None, self.sent[-3:]
        return self.close_code

    async def leave(self) -> None:
        """Close from the client's side, and wait until the application is done with it."""
        self.can_send.set()
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self._serving, 10)

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *exception: object) -> None:
        if not self._serving.done():
            await self.leave()


@asynccontextmanager
async def process_hub() -> AsyncIterator[Hub]:
    """Have the hub that the doors of this process use, and stop it in the end."""
    hub = await current_hub()
    try:
        yield hub
    finally:
        await hub.stop()
        publisher.settle_on(None)
