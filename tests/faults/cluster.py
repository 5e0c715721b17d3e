"""The cluster under test: PostgreSQL, Redis, web processes and workers of its own, all of which can die."""

from __future__ import annotations

import itertools
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.layer import NAME, ORDERS
from tests.faults.orders import Orders
from tests.kit import reaper
from tests.kit.ports import HOST, free_port
from tests.kit.process import Child
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.services import Postgres, RedisServer
from tests.kit.site import environment, manage

# Committed must mean written: this server is killed. No more than that, for the machine goes on.
CONF = """
fsync = off
synchronous_commit = on
full_page_writes = off
max_connections = 300
"""

#: Some web processes forget early, so that who comes back must go to the log, and some buffer little, so
#: that a burst leaves clients behind.
TIGHT = {0: {"REALTIME_RING_EVENTS": "3"}, 1: {"REALTIME_BUFFER_EVENTS": "4"}}

_numbers = itertools.count(1)
_SAMPLE = re.compile(r"^(realtime_\w+?)(\{.*?\})? ([0-9.e+]+)$", re.MULTILINE)


class User(NamedTuple):
    """Somebody who watches."""

    id: str
    view_all: bool
    token: str


class Cluster:
    """Everything that runs on the server's side. The methods block: call them in a thread."""

    def __init__(self, webs: Sequence[str], workers: int, settings: Mapping[str, Any]) -> None:
        """Start the services and migrate; `webs` are the kinds of the web processes."""
        number = next(_numbers)
        self.folder = reaper.workspace() / f"faults-{number}"
        self.folder.mkdir()
        self.redis = RedisServer().start()
        self.postgres = Postgres(f"postgres-faults-{number}", CONF)
        self.url = self.postgres.create_database("faults")
        env = environment(self.url, self.redis.url, settings)
        manage(env, "migrate", "--verbosity", "0")
        self.layer = Orders(self.folder / "layer.json")
        self.layer.write()
        # Only now: the template above runs without our layer.
        self.env = env | {"DJANGO_SETTINGS_MODULE": "tests.faults.settings", ORDERS: str(self.layer.path)}
        self.kinds = list(webs)
        self.ports = [free_port() for _ in webs]
        self.webs: list[Server | None] = [None] * len(webs)
        self.workers: list[Child | None] = [None] * workers
        self.owners: list[int] = []
        #: What the web processes have counted that are gone.
        self.counted: Counter[str] = Counter()

    # -- people -------------------------------------------------------------------------------

    def people(self, owners: int, viewers: int) -> list[User]:
        """Make users: some own tasks, some may see everybody's."""
        remote = self.remote()
        try:
            return [self._user(remote, f"user-{n}", n >= owners) for n in range(owners + viewers)]
        finally:
            remote.kill()

    def _user(self, remote: Remote, name: str, view_all: bool) -> User:
        permissions = ["realtime.view_task"] if view_all else []
        code = "accounts.create_user(name, permissions), accounts.access_token(name)"
        pk, token = remote.run(code, name=name, permissions=permissions)
        if not view_all:
            self.owners.append(pk)
        return User(str(pk), view_all, token)

    def remote(self) -> Remote:
        """A new process of the site that runs what it is told."""
        return Remote(self.env | {NAME: "remote"}, self.folder / "remote.log")

    # -- web processes ------------------------------------------------------------------------

    def start_web(self, index: int) -> None:
        """Start a web process, on the port it had before."""
        env = self.env | {NAME: f"web-{index}"} | TIGHT.get(index, {})
        log = self.folder / f"web-{index}.log"
        self.webs[index] = Server(self.kinds[index], env, log, port=self.ports[index], timeout=60)

    def kill_web(self, index: int) -> None:
        """Kill a web process, after a look at what it has counted."""
        self.scrape(index)
        server = self.webs[index]
        assert server is not None
        server.kill()

    def health(self, index: int) -> str:
        """What a web process says of itself; nothing when it does not answer."""
        with suppress(OSError), urllib.request.urlopen(self._address(index, "readyz"), timeout=3) as answer:
            found = re.search(rb'"status": "(\w+)"', answer.read())
            return found[1].decode() if found else ""
        return ""

    def scrape(self, index: int) -> None:
        """Add up what a web process has counted since its start; do it once in its life."""
        with suppress(OSError), urllib.request.urlopen(self._address(index, "metrics"), timeout=3) as answer:
            for name, labels, value in _SAMPLE.findall(answer.read().decode()):
                self.counted[name + labels] += int(float(value))

    def _address(self, index: int, page: str) -> str:
        return f"http://{HOST}:{self.ports[index]}/{page}"

    # -- workers ------------------------------------------------------------------------------

    def orders_of(self, index: int) -> Orders:
        """The orders to a worker."""
        return Orders(self.folder / f"worker-{index}.json")

    def start_worker(self, index: int, seed: int, pace: float) -> None:
        """Start a worker that makes so many changes a second."""
        orders = self.orders_of(index)
        orders.write(pace=pace, crash=None, stop=None)
        words = [str(orders.path), str(self.journal), str(seed), *map(str, self.owners)]
        env = self.env | {NAME: f"worker-{index}"}
        command = [sys.executable, "-m", "tests.faults.worker", *words]
        self.workers[index] = Child(command, self.folder / f"worker-{index}.log", env)

    def worker(self, index: int) -> Child:
        """The running process."""
        child = self.workers[index]
        assert child is not None
        return child

    def end_workers(self) -> None:
        """Let the workers end in order, so that reports held back are written."""
        for index in range(len(self.workers)):
            self.orders_of(index).write(stop=True, crash=None)
        for index in range(len(self.workers)):
            self.worker(index).process.wait(30)

    @property
    def journal(self) -> Path:
        """What the workers say they have committed."""
        return self.folder / "journal"

    # -- the end ------------------------------------------------------------------------------

    def logs(self) -> str:
        """The last words of every process, for whoever must find out what happened."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            parts.append(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)

    def close(self) -> None:
        """End everything."""
        for child in [*self.webs, *self.workers]:
            if child is not None:
                child.kill()
        self.redis.kill()
        self.postgres.close()
