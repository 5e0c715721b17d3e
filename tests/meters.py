"""A topic whose answers a test decides, and connections that watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtime import Topic, database, register, registry
from realtime.events import Viewer
from realtime.hub import Hub
from realtime.protocol import client
from tests.watching import Frame, Watcher


class Meter(Topic):
    """A topic whose answers a test decides."""

    name = "meter"
    allowed = True
    state: Any = None

    def allows(self, user: Any, key: str) -> bool:
        """Tell what the test says, for anybody."""
        return self.allowed

    def snapshot(self, key: str) -> Any:
        """Return what the test says; call it if it can be called."""
        return self.state() if callable(self.state) else self.state


@pytest.fixture
def meter() -> Iterator[Meter]:
    """The one instance that serves, for the length of a test."""
    register(Meter)
    found = registry.find("meter.1")
    assert found is not None
    yield found[0]  # type: ignore[misc]
    registry.unregister(Meter)


def watcher(hub: Hub, user: Any, **rights: Any) -> Watcher:
    """Return a connection of that user's."""
    return Watcher(hub, Viewer(str(user.pk), **rights))


async def subscribed(watching: Watcher, *topics: str, after: int | None = None) -> Frame:
    """Subscribe, and return the acknowledgement."""
    watching.ask(client.Subscribe(topics=list(topics), after=after))
    return await watching.until("subscribed")


def events(watching: Watcher) -> list[tuple[str, str, Any]]:
    """Topic, event and data of all that came."""
    return [(f["topic"], f["event"], f["data"]) for f in watching.frames if f["type"] == "topic_event"]


async def change(hub: Hub, *work: Callable[[], object]) -> None:
    """Do some work and let the hub see it."""
    for each in work:
        await database.run(each)
    await hub.check()
