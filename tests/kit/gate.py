"""A gate in front of a service: shut, the service is gone for those behind it; or it hangs."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.kit.ports import HOST, listen


class Gate:
    """A TCP proxy in a thread of its own, so that no test's loop holds it up; use it in a `with` block."""

    def __init__(self, path: str) -> None:
        """Lead to the Unix socket at `path`."""
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self.port = 0

    @classmethod
    def to_database(cls, url: str) -> "Gate":
        """Lead to the PostgreSQL of an address with a Unix socket."""
        (folder,) = parse_qs(urlsplit(url).query)["host"]
        return cls(f"{folder}/.s.PGSQL.5432")

    def database_url(self, url: str, password: str) -> str:
        """That address, through the gate, with a password that the server does not ask for."""
        parts = urlsplit(url)
        return f"postgres://{parts.username}:{quote(password)}@{HOST}:{self.port}{parts.path}"

    def __enter__(self) -> "Gate":
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Let everything pass, on the same port as before."""
        self._do(self._open())

    def shut(self) -> None:
        """Cut every connection and refuse new ones, as a service that was stopped."""
        self._do(self._shut())

    def hang(self) -> None:
        """Keep and take connections and let nothing pass, as a service that hangs."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._flowing.set()
        if self._listener is None:
            listener = listen(self.port)
            self.port = listener.getsockname()[1]
            self._listener = await asyncio.start_server(self._accept, sock=listener)

    async def _shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_unix_connection(self._path)
        ways = [self._pump(reader, requests), self._pump(answers, writer)]
        pumps = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            requests.transport.abort()
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
