"""A WebSocket client that keeps every frame it receives."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.kit.inbox import Inbox
from tests.kit.ports import HOST
from tests.kit.servers import Server

Frame = dict[str, Any]
MSGPACK = Subprotocol("realtime.msgpack")


class SocketClient:
    """One WebSocket connection."""

    def __init__(self, connection: ClientConnection) -> None:
        """Take over an open connection (see `connect`) and begin to read it."""
        self.connection = connection
        self.inbox: Inbox[Frame] = Inbox()
        self._numbers = itertools.count(1)
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        server: Server,
        token: str | None = None,
        subprotocols: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        timeout: float = 10,
    ) -> "SocketClient":
        """Open `/ws`, with the token in the `Authorization` header if one is given.

        `receive_buffer` in bytes makes the kernel's buffer small: with `pause` the server then
        meets a slow reader soon. The client sends no pings; it answers the server's.
        """
        credential = {"Authorization": f"Bearer {token}"} if token else {}
        connection = await connect(
            f"{server.ws_url}/ws" + (f"?{urlencode(query)}" if query else ""),
            subprotocols=[Subprotocol(name) for name in subprotocols or ()] or None,
            additional_headers=credential | dict(headers or {}),
            sock=await open_socket(server, receive_buffer),
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=timeout,
            close_timeout=timeout,
            max_size=None,
            max_queue=None,  # its flow control would undo our `pause`
        )
        return cls(connection)

    @property
    def frames(self) -> list[Frame]:
        """Every frame received, in order."""
        return self.inbox.items

    @property
    def closed(self) -> bool:
        """Whether the connection has ended and every frame has been read."""
        return self.inbox.closed

    @property
    def close_code(self) -> int | None:
        """The code of the server's close frame, 1006 without one, None while open."""
        return self.connection.close_code

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send a frame in the format of the connection's subprotocol."""
        if self.connection.subprotocol == MSGPACK:
            await self.connection.send(msgpack.packb(dict(frame)))
        else:
            await self.connection.send(json.dumps(frame))

    async def send_raw(self, message: str | bytes) -> None:
        """Send a text or binary frame as it is."""
        await self.connection.send(message)

    async def wait(
        self,
        type: str | None = None,
        predicate: Callable[[Frame], bool] | None = None,
        timeout: float = 10,
    ) -> Frame:
        """Return the first frame not returned before that has the type and fits `predicate`."""

        def matches(frame: Frame) -> bool:
            return type in (None, frame["type"]) and (predicate is None or predicate(frame))

        return await self.inbox.wait(matches, timeout, what=type or "matching frame")

    async def ping(self, timeout: float = 10) -> Frame:
        """Send a ping, return its pong: what the server sent before it has then arrived."""
        number = next(self._numbers)
        await self.send({"action": "ping", "t": number})
        return await self.wait("pong", lambda frame: frame["t"] == number, timeout)

    def pause(self) -> None:
        """Stop reading from the connection, as a client does that hangs."""
        self.connection.transport.pause_reading()

    def resume(self) -> None:
        """Read again after `pause`."""
        self.connection.transport.resume_reading()

    async def cut(self) -> None:
        """Abort the connection without a word, as a broken line does."""
        self.connection.transport.abort()
        await self._reader

    async def close(self) -> None:
        """Close with a close handshake (code 1000)."""
        await self.connection.close()
        await self._reader

    async def wait_closed(self, timeout: float = 10) -> None:
        """Wait until the connection has ended, from whichever side."""
        await self.inbox.wait_closed(timeout)

    async def __aenter__(self) -> "SocketClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.cut()

    async def _read(self) -> None:
        reason = "the client was cancelled"
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    self.inbox.put(decode(await self.connection.recv()))
            reason = f"closed with {self.close_code} {self.connection.close_reason!r}"
        except ValueError as error:
            reason = f"a frame that cannot be read: {error!r}"
        finally:
            self.inbox.close(reason)


def decode(message: str | bytes) -> Frame:
    """A text frame is JSON, a binary one MessagePack; either holds an object with a `type`."""
    frame = json.loads(message) if isinstance(message, str) else msgpack.unpackb(message)
    if not isinstance(frame, dict) or "type" not in frame:
        raise ValueError(f"not a frame: {frame!r}")
    return frame


async def open_socket(server: Server, receive_buffer: int | None) -> socket.socket:
    """A TCP connection; only before it connects can the buffer limit the window."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, server.port))
    except BaseException:
        sock.close()
        raise
    return sock
