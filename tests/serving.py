"""A site under `python -m project.serve`, and a crowd of clients that is spread over its processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from realtime.testing.view import View
from tests.flows import Client, Live, Person, told
from tests.kit.ports import HOST, free_port
from tests.kit.process import Child
from tests.kit.site import Site
from tests.kit.sockets import SocketClient
from tests.kit.waiting import aeventually

DRAIN_SECONDS = 1
#: What the end may take beyond the drain: uvicorn's grace, and a busy machine.
END_SECONDS = 8
WORKERS = 2


class Service(Child):
    """`python -m project.serve` with its processes; to a client one server."""

    kind = "serve"

    def __init__(self, env: dict[str, str], log: Path, *arguments: str) -> None:
        self.port = free_port()
        env = env | {"PORT": str(self.port), "WORKERS": str(WORKERS)}
        super().__init__([sys.executable, "-m", "project.serve", *arguments], log, env)
        self.url, self.ws_url = f"http://{HOST}:{self.port}", f"ws://{HOST}:{self.port}"

    def workers(self) -> set[int]:
        """The ids of the processes that serve."""
        try:
            found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return {int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}
        except FileNotFoundError:
            return set()

    def served(self) -> dict[int, int]:
        """Which process serves whom: the client's port and the id of the process."""
        peers = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            (
                _,
                local,
                remote,
                state,
                *_,
            ) = fields = line.split()
            if state == "01" and int(local.partition(":")[2], 16) == self.port:
                peers[f"socket:[{fields[9]}]"] = int(remote.partition(":")[2], 16)
        found = {}
        for pid in self.workers():
            for name in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    held = os.readlink(name)
                except FileNotFoundError:
                    continue
                if held in peers:
                    found[peers[held]] = pid
        return found


async def ready(service: Service) -> Live:
    """Wait until every process of the service has become ready."""
    live = Live(None, service)  # type: ignore[arg-type]
    nodes = set()

    async def all_answer() -> bool:
        assert service.running, service.log()
        try:
            answer = await live.http("GET", "/readyz")
        except Exception:
            return False
        if answer.status_code == 200:
            nodes.add(answer.json()["node"])
        return len(nodes) == WORKERS

    await aeventually(all_answer, timeout=40, message=service.log)
    return live


@contextmanager
def served(site: Site) -> Iterator[Live]:
    """Serve the site."""
    service = Service(site.env, site.folder / f"serve-{time.monotonic_ns()}.log")
    try:
        asyncio.run(ready(service))
        yield Live(site, service)  # type: ignore[arg-type]
    finally:
        service.stop()


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Live]:
    """Do what `served` does, without blocking the loop."""
    context = served(site)
    live = await asyncio.to_thread(context.__enter__)
    try:
        yield live
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


class Crowd:
    """Clients of one person over both transports, at least two on each process."""

    def __init__(self, live: Live, person: Person, task_id: str) -> None:
        self.live, self.person, self.task_id = live, person, task_id
        self.clients: list[tuple[str, View, Client]] = []

    @property
    def service(self) -> Service:
        service = self.live.server
        assert isinstance(service, Service)
        return service

    async def come(self) -> None:
        """Connect until every process has clients."""
        counts: list[int] = []
        while not counts or min(counts) < 2 or len(counts) < WORKERS:
            assert len(self.clients) < 60, f"the clients are not spread: {counts}"
            for how in ("socket", "stream"):
                view = View()
                client = await self.live.come(how, view, self.person)
                await told(client, "subscribed")
                self.clients.append((how, view, client))
            served = [*self.places().values()]
            counts = [served.count(pid) for pid in set(served)]

    def places(self) -> dict[int, int]:
        """The process of each client, by the client's number."""
        served = self.service.served()
        ports = [_port(client) for _, _, client in self.clients]
        return {number: served[port] for number, port in enumerate(ports) if port in served}

    async def hears(self, message: str) -> None:
        """Change the task; all who are connected hear it."""
        await self.live.change(self.task_id, message=message)
        for _, _, client in self.clients:
            if not client.closed:
                await told(client, "task_update", lambda f: f["data"]["message"] == message)

    async def come_back(self) -> None:
        """Let those whose line ended resume."""
        for number, (how, view, client) in enumerate(self.clients):
            if client.closed:
                view.feed_all(client.frames)
                self.clients[number] = (how, view, await self._again(how, view))

    async def _again(self, how: str, view: View) -> Client:
        """Come back until it is let in; a process that is about to end sends it on."""
        deadline = time.monotonic() + 30
        while True:
            again: Client | None = None
            try:
                again = await self.live.come(how, view, self.person)
                await told(again, "subscribed", lambda f: f["recovered"] is True)
            except AssertionError:
                assert time.monotonic() < deadline
                if again is not None:
                    await again.cut()
                    view.feed_all(again.frames)
            else:
                return again
            await asyncio.sleep(0.1)

    async def leave(self) -> None:
        """Cut all lines; each has heard every event once, in order, whatever happened."""
        for _, view, client in self.clients:
            await client.cut()
            view.feed_all(client.frames)
            assert view.violations == []
            assert view.resets == []
        assert len({tuple(view.positions) for _, view, _ in self.clients}) == 1


def _port(client: Client) -> int:
    """The client's own port."""
    if isinstance(client, SocketClient):
        return int(client.connection.local_address[1])
    return int(client._writer.get_extra_info("sockname")[1])


async def crowd(live: Live) -> Crowd:
    """A crowd that is spread over the processes, of which none is still starting."""
    assert isinstance(live.server, Service)
    await ready(live.server)
    person = await live.person()
    found = Crowd(live, person, await live.task(person))
    await found.come()
    return found
