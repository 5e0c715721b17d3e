"""Slow consumers: what a server keeps for one client that stops reading, and when and how it ends.

One client of each kind in turn, each on a fresh server: a WebSocket or an event stream, with a small
or the usual receive buffer, on uvicorn and on daphne as the project starts them, and on daphne as it
comes. `answers` is a WebSocket that answered a ping before it stopped.
"""

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.kit.ports import HOST
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.site import Site

OWNER = "bench"
SERVERS = ("uvicorn", "daphne", "stock-daphne")
KINDS = ("websocket", "answers", "sse")
#: Receive buffers in bytes; 0 leaves it to the kernel.
BUFFERS = (4096, 0)
#: Tasks that one statement changes: so many events at a time.
TASKS = 10
TEXT, CLOSE = 1, 8

COLUMNS = (
    *("server", "client", "buffer", "events/s", "MB after 5 / 10 / 20 s", "most MB"),
    *("kernel MB", "told s", "ended s", "read afterwards"),
)
CREATE = """
for _ in range(count):
    Task.objects.create(name="Slow", owner=User.objects.get(username=owner))
"""
WRITE = """
import time
begin, number = time.monotonic(), 0
while (passed := time.monotonic() - begin) < seconds:
    if number < passed * rate:
        number += Task.objects.filter(owner__username=owner).update(message=f"{number} " + "x" * size)
    time.sleep(0.002)
number
"""


@dataclass(frozen=True)
class Options:
    """How much of everything."""

    rate: float
    size: int
    seconds: int
    """At most, for one client."""
    servers: Sequence[str]


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


def measure(site: Site, server_kind: str, kind: str, buffer: int, options: Options) -> str:
    """Watch one client from the moment it stops reading; return a row of the table."""
    writer = site.remote("writer")
    server = Server(server_kind, site.env, site.folder / f"{server_kind}-{kind}-{buffer}.log")
    with ExitStack() as ending:
        ending.callback(server.kill)
        line = ending.enter_context(closing(Line(server, site.token(OWNER), kind, buffer)))
        if kind == "answers":
            # The first ping comes early when much is written; 30 seconds are not waited for.
            _write(writer, options, 0.5)
            if not line.answer_a_ping():
                return f"| {server_kind} | {kind} | {buffer or 'usual'} | no ping came in time |"
        begin, base = time.monotonic(), server.rss()
        grown: list[float] = []
        kernel, told, ended, written = 0, None, None, 0
        while (passed := time.monotonic() - begin) < options.seconds and ended is None:
            written += _write(writer, options, 0.5)
            grown.append((server.rss() - base) / 1e6)
            held = line.in_kernel()
            passed = time.monotonic() - begin
            kernel = max(kernel, held or 0)
            if told is None and _clients(server) == 0:
                told = passed
            if held is None:
                ended = passed
        at = [grown[min(n * 2, len(grown)) - 1] for n in (5, 10, 20)]
        return (
            f"| {server_kind} | {kind} | {buffer or 'usual'} | {written / passed:.0f} "
            f"| {at[0]:.0f} / {at[1]:.0f} / {at[2]:.0f} | {max(grown):.0f} | {kernel / 1e6:.2f} "
            f"| {_seconds(told)} | {_seconds(ended)} | {line.end()} |"
        )


def _write(writer: Remote, options: Options, seconds: float) -> int:
    return int(writer.run(WRITE, owner=OWNER, seconds=seconds, rate=options.rate, size=options.size))


def _clients(server: Server) -> int:
    with urlopen(f"{server.url}/census", timeout=20) as answer:
        return int(json.load(answer)["clients"])


def _seconds(moment: float | None) -> str:
    return "never" if moment is None else f"{moment:.0f}"


def run(options: Options) -> None:
    """Measure every client on every server, and print the table row by row."""
    settings = {"LOG_CHECK_INTERVAL": 0.1, "RING_BYTES": 4_000_000, "RING_EVENTS": 200}
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    with Site(settings=settings, env={"DJANGO_SETTINGS_MODULE": "tests.flow_settings"}) as site:
        site.create_user(OWNER)
        site.remote("writer").run(CREATE, owner=OWNER, count=TASKS)
        for server in options.servers:
            for kind in KINDS:
                for buffer in BUFFERS:
                    print(measure(site, server, kind, buffer, options), flush=True)
