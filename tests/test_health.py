"""``/healthz`` and ``/readyz`` tell the truth while Redis and PostgreSQL are stopped, hang and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from realtime.testing.view import View
from tests.ending import ending
from tests.flows import KINDS, Client, Live, Person, told
from tests.kit.gate import Gate
from tests.kit.site import Site
from tests.kit.waiting import aeventually

pytestmark = pytest.mark.requirement("O3")

#: In the address of the database, to be found in no answer.
PASSWORD = "tell-nobody"
#: Seconds in which an answer must come, whatever hangs: the deadline and what a busy machine adds.
AT_MOST = 3.5


class Deployment:
    """A site whose database stands behind a gate, with a process under each server."""

    def __init__(self, site: Site, gate: Gate) -> None:
        self.site, self.gate = site, gate
        self.processes = [self.start(kind) for kind in KINDS]
        assert site.redis is not None
        self.redis = site.redis

    def start(self, kind: str) -> Live:
        """Start a process behind the gate; who changes tasks reaches the database past it."""
        direct = self.site.env["DATABASE_URL"]
        self.site.env["DATABASE_URL"] = self.gate.database_url(direct, PASSWORD)
        try:
            return Live(self.site, self.site.start(kind))
        finally:
            self.site.env["DATABASE_URL"] = direct

    async def answers(self) -> list[httpx.Response]:
        """What each process says of itself, within its time and without a secret."""
        begin = time.monotonic()
        found = await asyncio.gather(*(live.http("GET", "/readyz", timeout=10) for live in self.processes))
        assert time.monotonic() - begin < AT_MOST
        assert all(PASSWORD not in answer.text and "127.0.0.1" not in answer.text for answer in found)
        assert {answer.headers["cache-control"] for answer in found} == {"no-store"}
        return found

    async def until(self, status: str, code: int, *reasons: str) -> list[dict[str, Any]]:
        """Wait until every process says so, for these reasons and no others; return the answers."""
        wanted = {(status, code, reasons)}
        said: list[Any] = []

        async def agree() -> bool:
            said[:] = await self.answers()
            found = {(a.json()["status"], a.status_code, tuple(sorted(a.json()["reasons"]))) for a in said}
            return found == wanted

        try:
            await aeventually(agree, timeout=20, interval=0.1)
        except AssertionError:
            raise AssertionError(f"not {wanted}: {[answer.text for answer in said]}") from None
        return [answer.json() for answer in said]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """Two processes that compare themselves with the log, and probe the layer, many times as often."""
    site = Site("postgres", redis=True, settings={"LOG_CHECK_INTERVAL": 0.1})
    with site, Gate.to_database(site.database_url) as gate:
        yield Deployment(site, gate)


class Crowd:
    """A socket and a stream on each process, all on one task, which stay."""

    def __init__(self, live: Live, task_id: str, clients: list[Client]) -> None:
        self.live, self.task_id, self.clients = live, task_id, clients

    async def hears(self, message: str) -> None:
        """Change the task; everybody hears of it, on the connection it had from the beginning."""
        await self.live.change(self.task_id, message=message)
        for client in self.clients:
            await told(client, "task_update", lambda f: f["data"]["message"] == message, timeout=20)
            assert not client.closed

    def heard(self) -> list[list[str]]:
        """The messages that each has heard as changes, in order."""
        frames = [[f for f in c.frames if f["type"] == "task_update" and "id" in f] for c in self.clients]
        return [[f["data"]["message"] for f in found] for found in frames]


@asynccontextmanager
async def crowd(deployment: Deployment) -> AsyncIterator[Crowd]:
    """Have clients everywhere, over both transports."""
    live = deployment.processes[0]
    person: Person = await live.person()
    task_id = await live.task(person)
    clients = [
        await process.come(how, View(), person)
        for process in deployment.processes
        for how in ("socket", "stream")
    ]
    try:
        for client in clients:
            await told(client, "subscribed")
        yield Crowd(live, task_id, clients)
    finally:
        for client in clients:
            await client.cut()


@pytest.fixture
async def audience(deployment: Deployment) -> AsyncIterator[Crowd]:
    """Clients everywhere; in the end all is well and nobody missed or heard anything twice."""
    await deployment.until("ready", 200)
    async with crowd(deployment) as clients:
        await clients.hears("before")
        yield clients
        await deployment.until("ready", 200)
        await clients.hears("after")
        assert len({tuple(messages) for messages in clients.heard()}) == 1


async def test_a_fresh_process_becomes_ready_by_being_asked(deployment: Deployment) -> None:
    """No client has come yet: `/readyz` starts the hub, and says what it found."""
    said = await deployment.until("ready", 200)
    assert len({answer["node"] for answer in said}) == len(KINDS)

    async def probed() -> bool:
        trips = [answer.json()["layer"]["round_trip_ms"] for answer in await deployment.answers()]
        return None not in trips and all(0 < trip < 2000 for trip in trips)

    await aeventually(probed)
    for answer in await deployment.until("ready", 200):
        assert {answer[part]["status"] for part in ("database", "log", "layer", "drain")} == {"ok"}
        assert answer["log"]["position"] >= answer["log"]["head"] > 0
        assert answer["database"]["ms"] > 0
        assert answer["layer"]["joined"] is True


@pytest.mark.requirement("F10", "K13")
@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_without_redis_a_process_is_degraded_and_the_log_carries(
    deployment: Deployment, audience: Crowd, fault: str
) -> None:
    """Stopped or hanging, Redis is a reason to look, none to send nobody; nobody is disconnected."""
    redis = deployment.redis
    fail, mend = (redis.kill, redis.start) if fault == "killed" else (redis.pause, redis.resume)
    await asyncio.to_thread(fail)
    try:
        said = await deployment.until("degraded", 200, "layer")
        assert {answer["layer"]["status"] for answer in said} == {"degraded"}
        await audience.hears("during")
    finally:
        await asyncio.to_thread(mend)


@pytest.mark.requirement("F10")
async def test_a_cut_subscription_heals(deployment: Deployment, audience: Crowd) -> None:
    """Redis throws every listener out (CLIENT KILL): they listen again."""
    with deployment.redis.client() as client:
        assert client.client_kill_filter(_type="pubsub") >= len(KINDS)
    await audience.hears("during")
    await deployment.until("ready", 200)
    with deployment.redis.client() as client:
        await aeventually(lambda: dict(client.pubsub_numsub("asgi__group__realtime.log")).popitem()[1] >= 2)


@pytest.mark.parametrize("fault", ["stopped", "hangs"])
async def test_without_the_database_a_process_is_not_ready(
    deployment: Deployment, audience: Crowd, fault: str
) -> None:
    """503 within the deadline; who is connected stays, and hears what Redis brings."""
    gate = deployment.gate
    fail: Callable[[], None] = gate.shut if fault == "stopped" else gate.hang
    await asyncio.to_thread(fail)
    try:
        said = await deployment.until("unready", 503, "database")
        assert {answer["database"]["status"] for answer in said} == {"unready"}
        assert {answer["layer"]["status"] for answer in said} == {"ok"}
        for live in deployment.processes:
            # The cookie of a session that nobody looks up.
            alive = await live.http("GET", "/healthz", headers={"Cookie": "sessionid=" + "x" * 32}, timeout=1)
            assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
            assert alive.headers["cache-control"] == "no-store"
        await audience.hears("during")
        # However many ask, one query waits.
        await asyncio.gather(*(deployment.answers() for _ in range(5)))
    finally:
        await asyncio.to_thread(gate.open)


async def test_a_process_can_start_before_its_database(deployment: Deployment) -> None:
    """It is alive and says what it waits for; when that comes, it becomes ready by itself."""
    await deployment.until("ready", 200)
    await asyncio.to_thread(deployment.gate.shut)
    try:
        young = await asyncio.to_thread(deployment.start, "uvicorn")
        answer = await young.http("GET", "/readyz", timeout=AT_MOST)
        assert (answer.status_code, set(answer.json()["reasons"])) == (503, {"database", "log"})
        assert (await young.http("GET", "/healthz")).status_code == 200
    finally:
        await asyncio.to_thread(deployment.gate.open)

    async def ready() -> bool:
        return (await young.http("GET", "/readyz", timeout=AT_MOST)).status_code == 200

    try:
        await aeventually(ready, timeout=20, interval=0.1)
    finally:
        await asyncio.to_thread(young.server.kill)


async def test_a_hub_that_stands_still_behind_the_log_is_not_ready(
    deployment: Deployment, audience: Crowd
) -> None:
    """The head can be read and the events cannot: somebody holds their table."""
    locker = deployment.site.remote("locker")
    begin = (
        "from django.db import connection, transaction\n"
        "from realtime.models import LogHead\n"
        "transaction.set_autocommit(False)\n"
        "with connection.cursor() as cursor:\n"
        "    cursor.execute('LOCK TABLE realtime_event IN ACCESS EXCLUSIVE MODE')\n"
    )
    await locker.arun(begin)
    try:
        # As a writer leaves the log whose event the lock keeps from the readers.
        head = "from django.db.models import F; LogHead.objects.update(position=F('position') + 1)"
        await deployment.processes[0].run(head)
        for answer in await deployment.until("unready", 503, "log"):
            assert answer["log"]["position"] == answer["log"]["head"] - 1
            assert answer["log"]["behind_seconds"] > 0
            assert answer["database"]["status"] == "ok"
    finally:
        end = (
            "from django.utils import timezone\n"
            "position = LogHead.objects.get().position\n"
            "Event.objects.create(position=position, kind='user_changed', created_at=timezone.now())\n"
            "transaction.commit(); transaction.set_autocommit(True)"
        )
        await locker.arun(end)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_process_that_drains_is_not_ready(live: Live) -> None:
    """From the signal on, while its clients leave one by one; it is alive to the end."""
    person = await live.person()
    async with ending(live, DRAIN_SECONDS=4) as old:
        clients = [await old.socket(person) for _ in range(20)]
        assert (await old.http("GET", "/readyz")).status_code == 200
        os.kill(old.server.pid, signal.SIGTERM)

        async def says_so() -> bool:
            answer = await old.http("GET", "/readyz")
            return answer.status_code == 503 and set(answer.json()["reasons"]) == {"drain"}

        await aeventually(says_so, timeout=2)
        assert (await old.http("GET", "/healthz")).status_code == 200
        for client in clients:
            await client.wait_closed()
