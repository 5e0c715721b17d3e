"""The pytest plugin: fixtures for tests of code that reports tasks, publishes events, or shows them.

pytest loads it wherever the package is installed. So it imports nothing of Django, and what it needs only
when a fixture is used: pytest-django for all of them, pytest-asyncio (or another) for ``realtime_client``.
"""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from realtime import testing

if TYPE_CHECKING:
    from realtime.testing import Client, FaultyLayer, Recorder, Server, SyncClient


@pytest.fixture
def realtime_events(db: None) -> Recorder:
    """Return what the code under test tells from here on; see :class:`realtime.testing.Recorder`."""
    return testing.Recorder()


@pytest.fixture
def realtime_client(realtime_server: Server) -> Callable[[Any], Awaitable[Client]]:
    """Connect a user's WebSocket: ``client = await realtime_client(user)``."""

    async def connect(user: Any, timeout: float = 10.0) -> Client:
        return testing.Client(
            realtime_server, await realtime_server.arun(realtime_server.connect(user, timeout))
        )

    return connect


@pytest.fixture
def realtime_sync_client(realtime_server: Server) -> Callable[[Any], SyncClient]:
    """Connect a user's WebSocket in a plain test: ``client = realtime_sync_client(user)``."""

    def connect(user: Any, timeout: float = 10.0) -> SyncClient:
        connection = realtime_server.run(realtime_server.connect(user, timeout), timeout)
        return testing.SyncClient(realtime_server, connection)

    return connect


@pytest.fixture
def realtime_server(transactional_db: None, realtime_layer: FaultyLayer) -> Iterator[Server]:
    """Serve connections in this process, until the end of the test; what the clients need."""
    server = testing.Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def realtime_layer(request: pytest.FixtureRequest) -> Iterator[FaultyLayer]:
    """Have a channel layer in memory as the default one, whatever the settings say; it has no faults yet.

    Its seed is that of the test's name: the same faults in every run.
    """
    layer = testing.FaultyLayer(zlib.crc32(request.node.nodeid.encode()))
    with testing.default_layer(layer):
        yield layer


@pytest.fixture
def faulty_layer(realtime_layer: FaultyLayer) -> FaultyLayer:
    """Have a channel layer that loses, repeats and reorders; change its ``faults`` as you like."""
    faults = realtime_layer.faults
    faults.drop, faults.duplicate, faults.reorder = 0.2, 0.2, 0.3
    return realtime_layer
