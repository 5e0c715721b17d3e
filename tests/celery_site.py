"""A site with Celery: real workers of either pool on a real Redis, and how tests speak of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.kit.process import Child
from tests.kit.site import Site
from tests.kit.waiting import eventually

#: Code that finds the id of the site's user.
OWNER = "User.objects.get(username='customer').pk"
#: How a worker is told to run its tasks; each reads the queue of its name.
POOLS = {"prefork": ("--pool", "prefork", "--concurrency", "2"), "solo": ("--pool", "solo")}


class CelerySite:
    """The site, its workers by pool, and a process that publishes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.workers: dict[str, Child] = {}

    def worker(self, pool: str) -> Child:
        """The worker of that pool, started when it is not running."""
        child = self.workers.get(pool)
        if child is None or not child.running:
            log = self.site.folder / f"celery-{pool}-{len(list(self.site.folder.glob('celery-*')))}.log"
            command = (sys.executable, "-m", "celery", "--app", "tests.celery_app", "worker")
            options = ("--loglevel", "INFO", "--without-gossip", "--without-mingle", "--queues", pool)
            name = ("--hostname", f"{pool}@%h")
            child = self.workers[pool] = Child((*command, *options, *name, *POOLS[pool]), log, self.site.env)
            eventually(lambda: "ready." in child.log() or not child.running, timeout=60)
            assert child.running, child.log()
        return child

    def run(self, code: str, **names: Any) -> Any:
        """Run code in the publisher, a process as of a web server; tasks are there by name."""
        return self.site.remote("publisher").run(f"from tests.celery_app import *\n{code}", **names)

    def publish(self, call: str, pool: str, **options: Any) -> str:
        """Publish one task, as `"import_orders 3"`, to the worker of that pool; return its id."""
        self.worker(pool)
        name, *args = call.split()
        code = f"{name}.apply_async(args, queue=pool, **options).id"
        values = [int(arg) if arg.isdigit() else arg for arg in args]
        return str(self.run(code, args=values, pool=pool, options=options))

    def row(self, job: str, *fields: str) -> tuple[Any, ...]:
        """These fields of the task of a job; nothing when there is none."""
        rows = self.run("list(Task.objects.filter(pk=pk).values_list(*fields))", pk=job, fields=fields)
        return tuple(rows[0]) if rows else ()

    def wait(self, job: str, status: str, timeout: float = 40) -> None:
        """Wait until the task of a job has that status."""

        def logs() -> str:
            """What the workers have said by then."""
            told = "".join(child.log()[-3000:] for child in self.workers.values())
            return f"{job} {status}, not {self.row(job, 'status', 'error', 'message')}\n{told}"

        eventually(lambda: self.row(job, "status") == (status,), timeout, 0.05, logs)

    def statuses(self, job: str) -> list[str]:
        """The statuses that the log tells of a job, without repetition."""
        code = "[e.data['status'] for e in Event.objects.filter(task_id=pk).order_by('position')]"
        found: list[str] = self.run(code, pk=job)
        return [status for status, before in zip(found, [None, *found], strict=False) if status != before]

    def events(self, job: str, field: str) -> list[Any]:
        """What the log tells of a field, in its order."""
        code = "[e.data[field] for e in Event.objects.filter(task_id=pk).order_by('position')]"
        found: list[Any] = self.run(code, pk=job, field=field)
        return found


@pytest.fixture(scope="session")
def shop() -> Iterator[CelerySite]:
    """A site on PostgreSQL and Redis, a user and no worker yet; leases are short, but bear a busy machine."""
    settings = {"PROGRESS_INTERVAL": 0, "LEASE_SECONDS": 10}
    with Site("postgres", redis=True, settings=settings, env={"DEBUG": "1"}) as site, ExitStack() as ending:
        site.create_user("customer")
        shop = CelerySite(site)
        ending.callback(lambda: [child.kill() for child in shop.workers.values()])
        yield shop


@pytest.fixture(params=sorted(POOLS))
def pool(request: pytest.FixtureRequest) -> str:
    """Run the test on a worker of each kind."""
    return str(request.param)
