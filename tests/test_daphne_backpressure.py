"""Daphne as the project starts it waits for slow readers, and cuts off those that read nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.flows import Live
from tests.kit.clients import SocketClient, StreamClient
from tests.kit.site import Site
from tests.kit.waiting import aeventually

#: What is sent to a client that reads nothing, in events of 50 kB: stock daphne would keep all of it.
EVENTS, BATCH = 1000, 50
#: The memory that the process may take on meanwhile: rings and buffers are full within it.
ROOM = 35_000_000

WRITE = """
text = "x" * 50_000
for number in range(count):
    Task.objects.filter(pk=pk).update(message=f"{number} {text}")
"""


@pytest.fixture(scope="module")
def quick() -> Iterator[Live]:
    """A daphne whose ring is small and which looks at the log often."""
    settings = {"RING_BYTES": 4_000_000, "LOG_CHECK_INTERVAL": 0.1, "SEND_TIMEOUT": 60}
    with Site(settings=settings) as site:
        yield Live(site, site.start("daphne"))


@pytest.mark.requirement("F3")
@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_a_client_that_reads_nothing_costs_bounded_memory_and_is_cut_off(
    quick: Live, transport: str
) -> None:
    """50 MB for a stalled reader: the process stays small, and the line is cut after the stall."""
    person = await quick.person()
    task_id = await quick.task(person)
    client: SocketClient | StreamClient
    if transport == "websocket":
        client = await SocketClient.connect(quick.server, person.token, receive_buffer=4096)
        await client.send({"action": "subscribe", "task_id": task_id})
        await client.wait("subscribed")
    else:
        client = await StreamClient.connect(
            quick.server, person.token, task_ids=[task_id], receive_buffer=4096
        )
        await client.wait("subscribed")
    sockets, memory = _sockets(quick.server.pid), quick.server.rss()
    client.pause()
    highest = 0
    for _ in range(EVENTS // BATCH):
        await quick.run(WRITE, pk=task_id, count=BATCH)
        highest = max(highest, quick.server.rss() - memory)
    assert highest < ROOM
    await aeventually(lambda: _sockets(quick.server.pid) < sockets, timeout=40)
    await client.cut()
    async with await SocketClient.connect(quick.server, person.token) as other:
        await other.send({"action": "subscribe", "task_id": task_id})
        assert await other.wait("subscribed")


def _sockets(pid: int) -> int:
    """How many sockets a process holds."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += entry.readlink().name.startswith("socket:")
    return found
