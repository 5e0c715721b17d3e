"""A TCP proxy in front of a server that cuts a connection after a given number of bytes."""

import asyncio
import contextlib

from tests.kit.ports import HOST, listen
from tests.kit.servers import Server


class CuttingProxy:
    """Stands in a server's place for the clients; `cut_after` bytes to the client the line breaks.

    The number is read when a connection begins; None lets everything pass.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cut_after: int | None = None
        self.cuts = 0
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def ws_url(self) -> str:
        """Its address for WebSockets, as a server's."""
        return f"ws://{HOST}:{self.port}"

    async def __aenter__(self) -> "CuttingProxy":
        sock = listen()
        self.port = sock.getsockname()[1]
        self._listener = await asyncio.start_server(self._accept, sock=sock)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(HOST, self.server.port)
        upward = asyncio.create_task(_pump(reader, requests))
        try:
            await self._pump_down(answers, writer)
        finally:
            upward.cancel()
            requests.transport.abort()
            # In order, not aborted: what was let through before the cut arrives.
            writer.close()

    async def _pump_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.cut_after
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                if left is not None and len(chunk) >= left:
                    writer.write(chunk[:left])
                    self.cuts += 1
                    return
                writer.write(chunk)
                await writer.drain()
                if left is not None:
                    left -= len(chunk)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
