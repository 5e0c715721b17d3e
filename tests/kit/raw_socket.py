"""A WebSocket seen frame by frame (RFC 6455 §5.2): its client answers nothing by itself."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

import asyncio
import base64
import os
import struct
from collections.abc import Mapping
from typing import NamedTuple

from tests.kit import http_stream
from tests.kit.ports import HOST
from tests.kit.servers import Server
from tests.kit.sockets import open_socket

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class RawFrame(NamedTuple):
    """One frame as it came."""

    opcode: int
    payload: bytes
    final: bool
    masked: bool

    @property
    def close_code(self) -> int:
        """The code in a close frame (RFC 6455 §5.5.1); 1005 when it has none."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else 1005


class RawSocket:
    """One connection, after its opening handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(
        cls, server: Server, token: str, timeout: float = 10, headers: Mapping[str, str] | None = None
    ) -> "RawSocket":
        """Shake hands on `/ws` with the token in the `Authorization` header."""
        sent = {
            "Host": f"{HOST}:{server.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Authorization": f"Bearer {token}",
        }
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(sock=await open_socket(server, None))
            writer.write(http_stream.request("/ws", sent | dict(headers or {})))
            status, _ = await http_stream.read_head(reader)
        assert status == 101, f"no WebSocket but {status}"
        return cls(reader, writer)

    async def read(self, timeout: float = 10) -> RawFrame:
        """The next frame; IncompleteReadError or ConnectionError when the line has ended."""
        async with asyncio.timeout(timeout):
            first, second = await self._reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                wide = await self._reader.readexactly(2 if size == 126 else 8)
                size = int.from_bytes(wide, "big")
            payload = await self._reader.readexactly(size)
        return RawFrame(first & 0x0F, payload, bool(first & 0x80), bool(second & 0x80))

    async def read_until(self, opcode: int, timeout: float = 10) -> RawFrame:
        """The next frame of that kind; others before it are passed over."""
        async with asyncio.timeout(timeout):
            while True:
                frame = await self.read(timeout)
                if frame.opcode == opcode:
                    return frame

    async def read_to_end(self, timeout: float) -> list[RawFrame]:
        """Every frame until the server drops the line; TimeoutError if it does not."""
        frames: list[RawFrame] = []
        async with asyncio.timeout(timeout):
            try:
                while True:
                    frames.append(await self.read(timeout))
            except (asyncio.IncompleteReadError, ConnectionError):
                return frames

    async def write(self, opcode: int, payload: bytes = b"", final: bool = True) -> None:
        """Send one masked frame, as a client must (RFC 6455 §5.3)."""
        mask = os.urandom(4)
        head = bytes([opcode | (0x80 if final else 0)])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 65_536:
            head += struct.pack("!BH", 0x80 | 126, len(payload))
        else:
            head += struct.pack("!BQ", 0x80 | 127, len(payload))
        body = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
        self._writer.write(head + mask + body)
        await self._writer.drain()

    def abort(self) -> None:
        """End the line without a word."""
        self._writer.transport.abort()

    async def __aenter__(self) -> "RawSocket":
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.abort()
