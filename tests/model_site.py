"""A small simulated site for one story: a few processes, three people, and what each client is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtime import log
from realtime.events import Viewer
from realtime.models import Task
from realtime.protocol import client as messages
from realtime.stream import Stream
from tests.model_client import Client, Frame
from tests.model_world import World

READ_ALL = 1_000_000


class Watcher(Client):
    """A client whose frames a story looks at, a few at a time."""

    _taken = 0

    def take(self) -> list[Frame]:
        """Return the frames since the last call, heartbeats left out."""
        new, self._taken = self.frames[self._taken :], len(self.frames)
        return [frame for frame in new if frame["type"] != "heartbeat"]

    def types(self) -> list[str]:
        """Return the types of the frames since the last call; a row of a snapshot is ``row``."""
        return ["row" if frame.get("snapshot") else frame["type"] for frame in self.take()]

    def post(self, **message: Any) -> None:
        """Send a message as it stands: ``post(action="ping", t=5)``."""
        self.served.commands.post(messages.parse(message))

    @property
    def served(self) -> Stream:
        """The stream of the connection it has."""
        assert self.stream is not None, "it is not connected"
        return self.stream


class Site(World):
    """A world with people in it: alice and bob own tasks, boss may view all."""

    def __init__(self, engine: str, make_user: Callable[..., Any], hubs: int, smooth: bool) -> None:
        self.alice, self.bob = make_user("alice"), make_user("bob")
        self.boss = make_user("boss", is_superuser=True)
        people = [self.alice, self.bob, self.boss]
        super().__init__(engine, [Viewer(str(user.pk), user is self.boss) for user in people], hubs, smooth)
        self.start = self.head

    @property
    def head(self) -> int:
        """The last position of the log."""
        return log.position()

    def run(self, seconds: float = 0.01) -> None:
        """Let virtual time pass."""
        self.loop.run_for(seconds)

    def visit(self, user: Any) -> Watcher:
        """Return a client of ``user`` that is not connected yet."""
        client = Watcher(self.loop, Viewer(str(user.pk), user is self.boss))
        self.clients.append(client)
        return client

    def watch(self, user: Any, *names: str, hub: int = 0, after: int | str | None = None) -> Watcher:
        """Return a connected client that reads everything and has asked for ``names``."""
        client = self.visit(user)
        client.connect(self.hubs[hub])
        client.read(READ_ALL)
        self.ask(client, *names, after=after)
        return client

    def ask(self, client: Watcher, *names: str, after: int | str | None = None) -> None:
        """Subscribe, or resume with ``after``, and let it be answered."""
        client.wants |= set(names)
        topics = [name for name in names if "-" not in name]
        task_ids = [name for name in names if "-" in name]
        if names:
            client.post(action="subscribe", task_ids=task_ids, topics=topics, after=after)
        self.run()

    def come_back(self, client: Client, hub: int = 0) -> None:
        """Cut a client, and let it return as clients do: with its cursor."""
        client.cut()
        client.connect(self.hubs[hub])
        client.read(READ_ALL)
        self.run()

    def task(self, owner: Any, **fields: Any) -> Task:
        """Create a task, and let everybody hear of it."""
        task = Task.objects.create(name="import", owner=owner, **fields)
        self.run()
        return task

    def rename(self, task: Task, times: int = 1) -> None:
        """Change a task; each time is one event."""
        for _ in range(times):
            task.name += "'"
            task.save()
        self.run()


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(engine: str, make_user: Callable[..., Any], settings: Any) -> Iterator[MakeSite]:
    """Make the site of a story, in virtual time; for modules that import it."""
    made: list[Site] = []

    def make(hubs: int = 1, smooth: bool = True, **values: Any) -> Site:
        settings.REALTIME = {"PROGRESS_INTERVAL": 0, **values}
        made.append(Site(engine, make_user, hubs, smooth))
        return made[-1]

    yield make
    for site in made:
        site.close()
