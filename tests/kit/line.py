"""A connection that reads only when it is told to, and what the kernel holds for it."""

import base64
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

from tests.kit.ports import HOST
from tests.kit.servers import Server

TEXT, CLOSE = 1, 8


class Line:
    """One connection that reads only when it is told to."""

    def __init__(self, server: Server, token: str, kind: str, buffer: int) -> None:
        self._socket = socket.socket()
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(20)
        self._socket.connect((HOST, server.port))
        self._held = b""
        self.kind, self.ports = kind, (server.port, self._socket.getsockname()[1])
        head = f"Host: {HOST}\r\nAuthorization: Bearer {token}\r\n"
        if kind == "sse":
            self._socket.sendall(f"GET /events HTTP/1.1\r\n{head}\r\n".encode())
            self._until(b"event: subscribed")
            return
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{head}"
        self._socket.sendall(f"GET /ws HTTP/1.1\r\n{upgrade}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        self._until(b"\r\n\r\n")
        self._say(action="subscribe", topic="mine")
        self._until(b'"subscribed"')

    def answer_a_ping(self) -> bool:
        """Read until a ping of the application comes, and answer it; False if none does in time."""
        self._socket.settimeout(2)
        try:
            while True:
                opcode, payload = self._frame()
                if opcode == TEXT and (frame := json.loads(payload))["type"] == "ping":
                    self._say(action="pong", t=frame["t"])
                    return True
        except TimeoutError:
            return False

    def _say(self, **message: Any) -> None:
        text = json.dumps(message).encode()
        self._socket.sendall(struct.pack("!BB", 0x81, 0x80 | len(text)) + bytes(4) + text)

    def _until(self, sign: bytes) -> None:
        while sign not in self._held:
            piece = self._socket.recv(65_536)
            if not piece:
                raise ConnectionError(self._held[-500:].decode(errors="replace"))
            self._held += piece
        self._held = self._held.partition(sign)[2] if sign.endswith(b"\n") else self._held

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            piece = self._socket.recv(1 << 20)
            if not piece:
                raise EOFError
            self._held += piece
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _frame(self) -> tuple[int, bytes]:
        first, size = self._take(2)
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return first & 0x0F, self._take(size)

    def end(self) -> str:
        """Read everything that is left; say how it ended."""
        self._socket.settimeout(3)
        left, last = len(self._held), ""
        try:
            while self.kind != "sse":
                opcode, payload = self._frame()
                left += len(payload)
                if opcode == CLOSE:
                    return f"{left / 1e6:.1f} MB, then close {int.from_bytes(payload[:2], 'big')}"
                last = json.loads(payload).get("code", "") if opcode == TEXT else last
            while piece := self._socket.recv(1 << 20):
                left += len(piece)
        except ConnectionResetError:
            return f"{left / 1e6:.1f} MB, then reset"
        except EOFError:
            pass
        except TimeoutError:
            return f"{left / 1e6:.1f} MB, still open"
        return f"{left / 1e6:.1f} MB, {last} then end"

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def in_kernel(self) -> int | None:
        """Bytes that the kernel holds for this line on both sides; None once the server's side is gone."""
        here, there = self.ports
        held, open_ = 0, False
        for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, queues = row.split()[:5]
            ports = int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16)
            sent, received = (int(part, 16) for part in queues.split(":"))
            if ports == (here, there):
                # Only an established connection is one that the application has not ended.
                open_, held = state == "01", held + sent
            elif ports == (there, here):
                held += received
        return held if open_ else None
