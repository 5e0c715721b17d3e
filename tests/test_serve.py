"""Several processes on one port: any of them may die or be exchanged, and no client misses anything."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.serve import START_SECONDS
from tests.flows import Live
from tests.kit.ports import HOST
from tests.kit.process import ROOT
from tests.kit.services import postgres
from tests.kit.site import Site, environment
from tests.kit.waiting import aeventually
from tests.serving import DRAIN_SECONDS, END_SECONDS, WORKERS, Service, crowd, ready, served, serving


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site on PostgreSQL and Redis."""
    settings = {"DRAIN_SECONDS": DRAIN_SECONDS, "MAX_CONNECTIONS_PER_USER": 100}
    with Site("postgres", redis=True, settings=settings) as site:
        yield site


@pytest.fixture(scope="module")
def served_site(site: Site) -> Iterator[Live]:
    """The site, served; a test leaves it as it was."""
    with served(site) as live:
        yield live


@pytest.mark.requirement("K4")
async def test_a_killed_process_is_replaced_and_only_its_clients_notice(served_site: Live) -> None:
    """`kill -9`: they come back, to whichever process, and resume exactly; the others stay connected."""
    clients = await crowd(served_site)
    await clients.hears("before")
    service, places = clients.service, clients.places()
    victim, *others = service.workers()
    # Its supervisor asks every half second how it is: it is to die with the question open.
    os.kill(victim, signal.SIGSTOP)
    await asyncio.sleep(1)
    os.kill(victim, signal.SIGKILL)
    lost = {number for number, pid in places.items() if pid == victim}
    for number in lost:
        await clients.clients[number][2].wait_closed()
    await clients.hears("during")
    assert {n for n, (_, _, client) in enumerate(clients.clients) if client.closed} == lost
    await clients.come_back()
    # Sooner than one that hangs.
    await aeventually(lambda: len(service.workers()) == WORKERS, timeout=START_SECONDS - 2)
    assert set(others) < service.workers()
    await clients.hears("after")
    await clients.leave()


@pytest.mark.requirement("W16")
async def test_a_rolling_restart_loses_nobody(served_site: Live) -> None:
    """SIGHUP: one process after the other is exchanged, the new one first; no request is refused."""
    clients = await crowd(served_site)
    service = clients.service
    old = service.workers()
    os.kill(service.pid, signal.SIGHUP)
    number = 0

    async def exchanged() -> bool:
        nonlocal number
        number += 1
        assert (await served_site.http("GET", "/healthz")).status_code == 200
        await served_site.change(clients.task_id, message=f"change {number}")
        await clients.come_back()
        return not old & service.workers()

    deadline = time.monotonic() + 60
    while not await exchanged():
        assert time.monotonic() < deadline, service.log()
    assert len(service.workers()) == WORKERS
    await clients.come_back()
    await clients.hears("after")
    await clients.leave()


@pytest.mark.requirement("W16")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_end_of_the_supervisor_drains_every_process(site: Site, number: signal.Signals) -> None:
    """Told to end or killed, it leaves nobody behind: sockets hear 4503, and the port is free."""
    async with serving(site) as live:
        clients = await crowd(live)
        service, workers = clients.service, clients.service.workers()
        begin = time.monotonic()
        os.kill(service.pid, number)
        await aeventually(lambda: not service.running, timeout=DRAIN_SECONDS + END_SECONDS)
        for pid in workers:
            await aeventually(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        assert time.monotonic() - begin < DRAIN_SECONDS + END_SECONDS
        for how, _, client in clients.clients:
            await client.wait_closed()
            assert client.frames[-1]["type"] == "reconnect"
            assert how == "stream" or client.close_code == 4503  # type: ignore[union-attr]
        if number == signal.SIGTERM:
            assert service.process.returncode == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, service.port)


async def test_an_empty_database_is_prepared_and_the_admin_has_its_style(tmp_path: Path, site: Site) -> None:
    """`--prepare`, as `make serve` gives it: migrated, and static files without a web server."""
    url = postgres().create_database()
    env = environment(url, site.redis_url, {}) | {"STATIC_ROOT": str(tmp_path / "static")}
    service = Service(env, tmp_path / "serve.log", "--prepare")
    try:
        live = await ready(service)
        style = await live.http("GET", "/static/admin/css/base.css")
        assert (style.status_code, style.headers["content-type"]) == (200, 'text/css; charset="utf-8"')
        assert "server" not in style.headers
        page = await live.http("GET", "/admin/login/")
        assert "/static/admin/css/base.css" in page.text
        assert (await live.http("GET", "/static/../project/settings.py")).status_code == 404
    finally:
        await asyncio.to_thread(service.stop)
        postgres().drop_database(url)


REFUSED = {
    "no database": ({"REDIS_URL": "redis://127.0.0.1:1"}, "need DATABASE_URL (PostgreSQL)."),
    "no Redis": ({"DATABASE_URL": "postgres://u:secret@127.0.0.1:1/x"}, "need REDIS_URL."),
    "neither": ({}, "WORKERS is 2: several processes need DATABASE_URL (PostgreSQL) and REDIS_URL."),
}


@pytest.mark.requirement("O6")
@pytest.mark.parametrize("what", REFUSED)
def test_several_processes_without_what_they_share_are_refused(what: str, tmp_path: Path) -> None:
    """`make serve` starts two unless told otherwise, and says what they need, touching nothing."""
    given, words = REFUSED[what]
    (tmp_path / "ready").touch()
    env = {"PATH": os.environ["PATH"], "SECRET_KEY": "x" * 50} | given
    command = ["make", "serve", f"BIN={Path(sys.executable).parent}", f"READY={tmp_path / 'ready'}"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
