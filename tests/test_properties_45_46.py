"""Properties 45 and 46 of the WebSocket document: each subscriber gets every change in order, others none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.testing.view import View
from tests.flows import Client, Live, Person, told
from tests.hypothesis_loop import Loop, hundred
from tests.kit.streams import StreamClient

#: One change of each task named, in one process, each in a transaction of its own.
CHANGE = """
for number, text in changes:
    task = Task.objects.get(pk=tasks[number])
    task.message = text
    task.save()
"""


class Crowd:
    """Two people with a task each; each is watched twice, on two processes, over one transport."""

    def __init__(
        self, live: Live, people: list[Person], tasks: list[str], clients: list[list[Client]]
    ) -> None:
        self.live, self.people, self.tasks, self.clients = live, people, tasks, clients
        self.loop = Loop()
        #: What the log owes each person.
        self.owed: list[list[str]] = [[] for _ in people]

    def change(self, changes: list[tuple[int, str]]) -> None:
        """Change tasks in another process, and wait until everybody has the last change that is theirs."""
        self.loop.run(self.live.run(CHANGE, tasks=self.tasks, changes=changes))
        for number, text in changes:
            if not self.owed[number] or self.owed[number][-1] != text:
                self.owed[number].append(text)
        for number in {number for number, _ in changes}:
            for client in self.clients[number]:
                self.loop.run(self._reach(client, len(self.owed[number])))

    async def _reach(self, client: Client, count: int) -> None:
        while len(updates(client)) < count:
            await told(client, "task_update")


def updates(client: Client) -> list[str]:
    """The messages of the live updates that a client has received, in the order in which they came."""
    return [
        frame["data"]["message"]
        for frame in client.frames
        if frame["type"] == "task_update" and not frame.get("snapshot")
    ]


async def crowd(cluster: dict[str, Live], how: str) -> AsyncIterator[Crowd]:
    """Open the connections; close them in the end."""
    lives = list(cluster.values())
    people = [await lives[0].person() for _ in range(2)]
    tasks = [await lives[0].task(person) for person in people]
    clients = [[await live.come(how, View(), person) for live in lives] for person in people]
    for found in clients:
        for client in found:
            await told(client, "subscribed")
    yield Crowd(lives[0], people, tasks, clients)
    await asyncio.gather(*(client.close() for found in clients for client in found))


@pytest.fixture
async def sockets(cluster: dict[str, Live]) -> AsyncIterator[Crowd]:
    """A crowd on WebSockets."""
    async for found in crowd(cluster, "socket"):
        yield found


@pytest.fixture
async def streams(cluster: dict[str, Live]) -> AsyncIterator[Crowd]:
    """A crowd on event streams."""
    async for found in crowd(cluster, "stream"):
        yield found


#: Who is changed, and to what; the same text twice is no change.
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 1), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
    ),
    min_size=1,
    max_size=6,
)


async def each_gets_its_own(found: Crowd) -> None:
    """Run the property; whatever was sent, in the end nobody has anything more or less."""
    ran = 0

    @hundred
    @given(CHANGES)
    def holds(changes: list[tuple[int, str]]) -> None:
        nonlocal ran
        # What was there before an example counts too: an empty message is the one of a new task.
        changes = [(number, f"{ran}.{place} {text}") for place, (number, text) in enumerate(changes)]
        found.change(changes)
        ran += 1

    await found.loop.examples(holds)
    assert ran >= 100
    for owed, clients in zip(found.owed, found.clients, strict=True):
        for client in clients:
            assert updates(client) == owed


@pytest.mark.requirement("45")
async def test_property_45_websocket_status_push(sockets: Crowd) -> None:
    """Every change, in order, once, on whichever process the socket is; of others' tasks nothing."""
    await each_gets_its_own(sockets)


@pytest.mark.requirement("46")
async def test_property_46_sse_event_delivery(streams: Crowd) -> None:
    """The same over Server-Sent Events, with the headers and the form that make it a stream."""
    await each_gets_its_own(streams)
    for clients in streams.clients:
        for client in clients:
            assert isinstance(client, StreamClient)
            assert client.headers["content-type"].startswith("text/event-stream")
            assert client.headers["cache-control"] == "no-cache, no-transform"
            assert client.headers["x-accel-buffering"] == "no"
            for event in client.events:
                frame: dict[str, Any] = event.json
                assert event.event == frame["type"]
                assert event.id == (str(frame["id"]) if "id" in frame else None)
