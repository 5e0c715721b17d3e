"""The way in: one port before all web processes, that cuts connections after any number of bytes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import cast

from tests.kit.ports import HOST

#: Bytes after which most connections are cut, on average; and the few that are cut at once.
USUAL, SOON, SHARE_SOON = 300_000, 1_500, 0.08
#: Bytes kept for a client that reads slowly before its server is held up.
ROOM = 1 << 20


class Link(asyncio.Protocol):
    """A client's connection, and the one to its server, which is picked at random."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.upward: asyncio.Transport | None = None
        self.down: asyncio.Transport | None = None
        self.left = front.budget()
        self._early: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.down = cast(asyncio.Transport, transport)
        self.down.set_write_buffer_limits(ROOM)
        self.front.links.add(self)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        assert self.down is not None
        port = self.front.random.choice(self.front.ports)
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: _Up(self), HOST, port)
        except OSError:
            self.down.abort()
            return
        self.upward = transport
        for data in self._early:
            transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """The client says something."""
        if self.upward is None:
            self._early.append(data)
        else:
            self.upward.write(data)

    def pause_writing(self) -> None:
        """The client reads slowly."""
        if self.upward is not None:
            self.upward.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self.upward is not None:
            self.upward.resume_reading()

    def bring(self, data: bytes) -> None:
        """The server says something: let it through, up to the cut."""
        assert self.down is not None
        self.left -= len(data)
        if self.left > 0:
            self.down.write(data)
        else:
            self.down.write(data[: self.left or None])
            self.cut()

    def cut(self) -> None:
        """Break the line; what was let through arrives."""
        self.front.cuts += 1
        self.end()

    def end(self) -> None:
        """Close both sides."""
        assert self.down is not None
        self.down.close()
        if self.upward is not None:
            self.upward.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone."""
        self.front.links.discard(self)
        if self._opening is not None:
            self._opening.cancel()
        if self.upward is not None:
            self.upward.abort()


class _Up(asyncio.Protocol):
    def __init__(self, link: Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._link.bring(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._link.end()


class Front:
    """Listens for clients; connections are cut all the time, and many at once when told."""

    def __init__(self, seed: int) -> None:
        self.ports: Sequence[int] = ()
        self.random = random.Random(seed)
        self.links: set[Link] = set()
        self.cuts = 0
        self.port = 0
        #: Whether lines are cut; not while the last clients come to rest.
        self.cutting = True
        self._server: asyncio.Server | None = None

    def budget(self) -> int:
        """How many bytes a new connection will bring its client."""
        if not self.cutting:
            return 1 << 62
        if self.random.random() < SHARE_SOON:
            return self.random.randrange(1, SOON)
        return 1 + int(self.random.expovariate(1 / USUAL))

    async def open(self, ports: Sequence[int]) -> None:
        """Begin to listen for those who want to one of these ports."""
        self.ports = ports
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut_many(self, share: float, seconds: float) -> None:
        """Cut that share of all lines, each within the next bytes, or when the time is over."""
        chosen = [link for link in self.links if self.random.random() < share]
        for link in chosen:
            link.left = min(link.left, self.random.randrange(1, SOON))
        await asyncio.sleep(seconds)
        for link in chosen:
            if link in self.links:
                link.cut()

    async def close(self) -> None:
        """Listen no longer."""
        for link in list(self.links):
            link.end()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
