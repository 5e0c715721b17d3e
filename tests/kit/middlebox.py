"""An HTTP proxy of the kind that breaks live pages: it refuses upgrades, holds streams back, cuts lines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from tests.kit.ports import HOST, listen
from tests.kit.servers import Server

REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

#: Turns of the loop until one that was accepted has its task, and one that was cut is closed; and more.
TURNS = 20


class Middlebox:
    """Stands before a server, in a thread of its own; use it in a `with` block.

    `blocks_upgrades`: a WebSocket is answered 400. `holds_streams`: of an event stream nothing is passed
    on, as by a proxy that waits for a response's end. `open`: whether anybody gets through at all.
    `alters_request` and `alters_answer` change the head of a request, or the first bytes of its answer.
    `hoards_streams` is how many seconds each piece of a stream is kept; `patience`, after how many without
    a byte from the server a line is cut. Each may be changed at any time and counts for later requests.
    """

    def __init__(self, server: Server, *, blocks_upgrades: bool = False, holds_streams: bool = False) -> None:
        self.blocks_upgrades = blocks_upgrades
        self.holds_streams = holds_streams
        self.open = True
        self.alters_request: Callable[[bytes], bytes] = lambda head: head
        self.alters_answer: Callable[[bytes], bytes] = lambda begin: begin
        self.hoards_streams = 0.0
        self.patience: float | None = None
        self._upstream = server.port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="middlebox", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its address, as a server's."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Middlebox:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *exception: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Break every connection there is."""
        self._do(self._cut())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        sock = listen()
        self.port = sock.getsockname()[1]
        self._listener = await asyncio.start_server(self._accept, sock=sock)

    async def _end(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for _ in range(TURNS):
            await self._cut()
            await asyncio.sleep(0)

    async def _cut(self) -> None:
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connect(reader, writer))
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            """Also of one that was cancelled before its first step."""
            self._tasks.discard(task)
            writer.transport.abort()

        task.add_done_callback(end)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            if self.open:
                await self._serve(head, reader, writer)

    async def _serve(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one request and its answer."""
        upgrade = b"\r\nupgrade:" in head.lower()
        if upgrade and self.blocks_upgrades:
            writer.write(REFUSED)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        if not upgrade:  # one request for each connection: the next one is looked at too
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
            head = b"\r\n".join([lines[0], b"Connection: close", *lines[1:]])
        answers, requests = await asyncio.open_connection(HOST, self._upstream)
        held = self.holds_streams and head.startswith(b"GET /events")
        up = asyncio.create_task(self._pump(reader, requests))
        try:
            requests.write(self.alters_request(head))
            hoards = self.hoards_streams if head.startswith(b"GET /events") else 0.0
            await self._pump_down(answers, None if held else writer, hoards)
            if not held and writer.can_write_eof():
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        finally:
            up.cancel()
            requests.transport.abort()

    async def _pump_down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, hoards: float
    ) -> None:
        alter = self.alters_answer
        with contextlib.suppress(OSError, TimeoutError):
            while True:
                async with asyncio.timeout(self.patience):
                    chunk = await reader.read(65_536)
                if not chunk:
                    return
                await asyncio.sleep(hoards)
                if writer is not None:
                    writer.write(alter(chunk))
                    await writer.drain()
                alter = bytes

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
