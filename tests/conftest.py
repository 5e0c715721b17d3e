"""Fixtures of the suite: both database engines in one run, a hub, users."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connections

from realtime import database, rights
from realtime.hub import Hub
from realtime.limits import places
from realtime.testing import plugin
from tests import router
from tests.kit import emptying, warm
from tests.kit.services import RedisServer

pytest_plugins = ["tests.flows", "tests.pages", "tests.admin_pages", "tests.celery_site", "tests.reporting"]
emptying.install()


def pytest_configure(config: pytest.Config) -> None:
    """Have the package's own plugin; where the package is installed, its entry point has brought it."""
    # Hundreds of processes would each compile the project anew, a fifth of a second each.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    warm.allowed = True
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "realtime")


#: Begins with minutes of installing: at the end, every other process would wait for it.
FIRST = "test_integrate.py"
#: What is made once in a process and costs seconds: the tests that share it stay together.
COSTLY = ("page_site", "shop", "sites")


@pytest.hookimpl(trylast=True)  # after the shuffling
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that takes ``engine`` that database, with real commits; the other only if it says so."""
    needed = {item.path: len(COSTLY) for item in items}
    for item in items:
        names = getattr(item, "fixturenames", ())
        places = [place for place, name in enumerate(COSTLY) if name in names]
        needed[item.path] = min([needed[item.path], *places])
    items.sort(key=lambda item: (item.path.name != FIRST, needed[item.path]))
    for item in items:
        marked = item.get_closest_marker("django_db") is not None
        if "engine" in getattr(item, "fixturenames", ()) and not marked:
            engine = item.callspec.params["engine"] if hasattr(item, "callspec") else "sqlite"
            used = {"sqlite": "default", "postgres": "postgres"}[engine]
            item.add_marker(pytest.mark.django_db(transaction=True, databases=[used]))


@pytest.fixture(autouse=True)
def uncounted() -> None:
    """Let no test be throttled for what another one called."""
    cache.clear()


@pytest.fixture(autouse=True)
def unsuspected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hubs of this process believe in users that have no account, however long a test takes."""
    monkeypatch.setattr(rights, "RECHECK_INTERVAL", float("inf"))


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """Let no test leave a connection behind: the next one may count them."""
    yield
    left, places.open = places.open, set()
    assert left == set()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    """Run the test on each database engine; ``Task.objects`` and the log go there."""
    router.active = {"sqlite": "default", "postgres": "postgres"}[request.param]
    yield router.active
    database.close()
    router.active = "default"


@pytest.fixture
async def hubs(engine: str) -> AsyncIterator[Callable[..., Awaitable[Hub]]]:
    """Make started hubs, as of several processes: ``await hubs(channel_layer=...)``."""
    started: list[Hub] = []

    async def make(**options: Any) -> Hub:
        hub = Hub(**options)
        started.append(hub)
        await hub.start()
        return hub

    yield make
    for hub in started:
        await hub.stop()
    await sync_to_async(connections.close_all)()


@pytest.fixture
def make_user(engine: str) -> Callable[..., Any]:
    """Make users with a name of their own: ``make_user(is_staff=True)``."""

    def make(name: str = "", **fields: Any) -> Any:
        return get_user_model().objects.create_user(name or f"user-{uuid.uuid4().hex[:8]}", **fields)

    return make


@pytest.fixture
def owner(make_user: Callable[..., Any]) -> Any:
    """Whose tasks they are."""
    return make_user()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A Redis of a module's own."""
    server = RedisServer().start()
    yield server
    server.kill()
