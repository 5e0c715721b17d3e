"""Running sites for the flow tests: both servers on each, started on first use and kept to the end."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from realtime.testing.view import View
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.kit.sockets import SocketClient
from tests.kit.streams import StreamClient
from tests.kit.waiting import aeventually
from tests.profiles import PINGS, PROFILES

Client = SocketClient | StreamClient
Frame = dict[str, Any]

KINDS = ("daphne", "uvicorn")
#: Seconds after which a server that no test has asked for is ended: its hub would go on looking at the log,
#: and the next start costs less.
IDLE = 45.0


@dataclass(frozen=True)
class Person:
    """A user of the site."""

    name: str
    id: int
    token: str


class Live:
    """One server of a running site, and the words in which a test speaks to them."""

    def __init__(self, site: Site, server: Server) -> None:
        self.site = site
        self.server = server

    @property
    def worker(self) -> Remote:
        """Another process of the site, which changes tasks."""
        return self.site.remote("worker")

    async def person(self, *permissions: str, **options: Any) -> Person:
        """Make a user, with permissions as `app.codename`."""
        return await asyncio.to_thread(self._person, permissions, options)

    def _person(self, permissions: Sequence[str], options: Mapping[str, Any]) -> Person:
        name = f"user-{uuid.uuid4().hex[:12]}"
        user_id = self.site.create_user(name, permissions, **options)
        return Person(name, user_id, self.site.token(name))

    async def run(self, code: str, **names: Any) -> Any:
        """Run code in the worker; see `tests.kit.remote`."""
        return await self.worker.arun(code, **names)

    async def task(self, owner: Person, **fields: Any) -> str:
        """Create a task of that person's and return its id."""
        return (await self.tasks(owner, 1, **fields))[0]

    async def tasks(self, owner: Person, count: int, **fields: Any) -> list[str]:
        """Create several tasks and return their ids."""
        code = "[str(Task.objects.create(owner_id=owner, **fields).pk) for _ in range(count)]"
        found: list[str] = await self.run(
            code, owner=owner.id, count=count, fields={"name": "import", **fields}
        )
        return found

    async def change(self, task_id: str, **fields: Any) -> None:
        """Save new values onto a task."""
        code = "task = Task.objects.get(pk=pk)\nfor n, v in fields.items(): setattr(task, n, v)\ntask.save()"
        await self.run(code, pk=task_id, fields=fields)

    async def finish(self, task_id: str) -> None:
        """Complete a task, which is started for it when nobody has."""
        code = (
            "task = Task.objects.get(pk=pk)\n"
            "if task.status == 'pending':\n"
            "    task.start()\n"
            "task.complete(result={'rows': 3})\n"
        )
        await self.run(code, pk=task_id)

    async def burst(self, task_ids: Sequence[str], count: int, pause: float = 0) -> None:
        """Change the tasks in turn, `count` times each: message "0", "1", "2", …"""
        code = (
            "import time\n"
            "for number in range(count):\n"
            "    for task in Task.objects.filter(pk__in=ids):\n"
            "        task.message = str(number)\n"
            "        task.save()\n"
            "        time.sleep(pause)\n"
        )
        await self.run(code, ids=list(task_ids), count=count, pause=pause)

    async def rows(self, owner: Person) -> dict[str, dict[str, Any]]:
        """The person's tasks in the database, in their public form."""
        code = (
            "from realtime.models.public import public_data\n"
            "{str(t.pk): public_data(t) for t in Task.objects.filter(owner_id=owner)}"
        )
        rows: dict[str, dict[str, Any]] = await self.run(code, owner=owner.id)
        return rows

    async def due(self, owner: Person, frames: Sequence[Frame]) -> list[int]:
        """The positions in the log that a client is owed whose first answer these frames are.

        They are the person's events after the first `subscribed` that its snapshot did not contain.
        """
        start = next(frame["id"] for frame in frames if frame["type"] == "subscribed")
        held = {f["task_id"]: f["data"]["version"] for f in frames if f.get("snapshot")}
        code = (
            "found = Event.objects.filter(owner=str(owner), position__gt=after).order_by('position')\n"
            "list(found.values_list('position', 'task_id', 'version'))"
        )
        events = await self.run(code, owner=owner.id, after=start)
        return [position for position, task_id, version in events if version > held.get(task_id, 0)]

    async def socket(self, person: Person, **options: Any) -> SocketClient:
        """Open a WebSocket as that person and read its `connected`."""
        client = await SocketClient.connect(self.server, person.token, **options)
        await client.wait("connected")
        return client

    async def watching(self, person: Person, **asked: Any) -> SocketClient:
        """Open a WebSocket that has subscribed, to `mine` unless told otherwise."""
        client = await self.socket(person)
        await client.send({"action": "subscribe", **(asked or {"topic": "mine"})})
        await client.wait("subscribed")
        return client

    async def stream(self, person: Person, **options: Any) -> StreamClient:
        """Open an event stream as that person."""
        return await StreamClient.connect(self.server, person.token, **options)

    async def come(self, how: str, view: View, person: Person) -> Client:
        """Connect over `how`, `socket` or `stream`, with what a client holds: `mine` at first."""
        if how == "stream":
            topics = sorted(view.topics - {"broadcasts"}) or ["mine"]
            return await self.stream(person, topics=topics, last_event_id=view.cursor)
        client = await self.socket(person)
        await client.send(view.resume() if view.topics else {"action": "subscribe", "topic": "mine"})
        return client

    async def census(self) -> dict[str, int]:
        """What the server holds of its clients; only on sites with `tests.flow_settings`."""
        counts: dict[str, int] = (await self.http("GET", "/census")).json()
        return counts

    async def level(self) -> None:
        """Wait until every running server of the site has come to the head of its log."""
        for server in [server for server in self.site.servers if server.running]:
            await aeventually(Live(self.site, server)._at_head)

    async def _at_head(self) -> bool:
        log = (await self.http("GET", "/readyz")).json()["log"]
        return bool(log["position"] is not None and log["position"] >= log["head"])

    async def http(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one HTTP request."""
        async with httpx.AsyncClient(base_url=self.server.url, trust_env=False, verify=False) as client:
            return await client.request(method, path, **options)


async def told(
    client: Client, type: str, fits: Callable[[Frame], bool] = lambda frame: True, timeout: float = 10
) -> Frame:
    """Wait for the next frame of that type, over whichever transport."""
    if isinstance(client, SocketClient):
        return await client.wait(type, fits, timeout)
    event = await client.wait(type, lambda event: fits(event.json), timeout)
    frame: Frame = event.json
    return frame


class Sites:
    """The sites by profile; each holds a server of each kind."""

    def __init__(self) -> None:
        self._sites: dict[str, Site] = {}
        self._live: dict[tuple[str, str], Live] = {}
        self._asked_for: dict[tuple[str, str], float] = {}

    def live(self, profile: str, kind: str) -> Live:
        """The server of that kind on the site of that profile, started when it is not running."""
        self._end_idle()
        self._asked_for[profile, kind] = time.monotonic()
        if (profile, kind) not in self._live:
            if profile not in self._sites:
                self._sites[profile] = Site(**PROFILES[profile])
            site = self._sites[profile]
            server = site.start(kind, arguments=PINGS[kind] if profile == "quick" else ())
            self._live[profile, kind] = Live(site, server)
        return self._live[profile, kind]

    def _end_idle(self) -> None:
        """End the servers that nobody uses, in order, so that no row of theirs stays; the sites stay."""
        for key, moment in list(self._asked_for.items()):
            if time.monotonic() - moment > IDLE:
                del self._asked_for[key]
                self._live.pop(key).server.stop()

    def close(self) -> None:
        """End everything; AssertionError when a log of a site holds a credential."""
        with ExitStack() as closing:
            for site in self._sites.values():
                closing.callback(site.close)


@pytest.fixture(scope="session")
def sites() -> Iterator[Sites]:
    """All sites; at their end no process has written a credential into its log, whatever the tests did."""
    sites = Sites()
    try:
        yield sites
    finally:
        sites.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Run the test under each server."""
    return str(request.param)


@pytest.fixture
def live(sites: Sites, kind: str) -> Live:
    """A server of the embedded site: SQLite, in-memory layer; changes come from other processes."""
    return sites.live("embedded", kind)


@pytest.fixture
def quick(sites: Sites, kind: str) -> Live:
    """A server whose heartbeats and pings come in tenths of seconds, behind GZipMiddleware."""
    return sites.live("quick", kind)


@pytest.fixture
def brief(sites: Sites, kind: str) -> Live:
    """A server whose streams live for half a second."""
    return sites.live("brief", kind)


@pytest.fixture
def narrow(sites: Sites, kind: str) -> Live:
    """A server with limits that a few clients reach."""
    return sites.live("narrow", kind)


@pytest.fixture
def clustered(sites: Sites, kind: str) -> Live:
    """A server of a site on PostgreSQL and Redis."""
    return sites.live("cluster", kind)


@pytest.fixture
def cluster(sites: Sites) -> dict[str, Live]:
    """Two server processes on PostgreSQL and Redis, one of each kind."""
    return {kind: sites.live("cluster", kind) for kind in KINDS}
