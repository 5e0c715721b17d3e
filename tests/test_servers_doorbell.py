"""A change made in another process reaches the clients: with Redis at once, without it within a second."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.flows import KINDS, Live
from tests.kit.clients import SocketClient
from tests.kit.site import Site
from tests.kit.stopwatch import Stopwatch

#: Saves a task many times and prints, after each commit, the message and the time.
SAVES = """
import time
from realtime.models import Task
task = Task.objects.get(pk="{task_id}")
for number in range({count}):
    time.sleep({pause})
    task.message = str(number)
    task.save()
    print(number, time.time())
"""


async def latencies(live: Live, count: int, pause: float) -> list[float]:
    """The seconds from the commit in `manage.py shell` to the client, for each of so many saves."""
    person = await live.person()
    task_id = await live.task(person)
    code = SAVES.format(task_id=task_id, count=count, pause=pause)
    async with await live.watching(person) as client:
        shell = asyncio.create_task(asyncio.to_thread(live.site.shell, code))
        arrivals = [await arrival(client, str(number)) for number in range(count)]
        printed = [line.split() for line in (await shell).splitlines()]
    commits = {number: float(moment) for number, moment in printed}
    return [moment - commits[str(number)] for number, moment in enumerate(arrivals)]


async def arrival(client: SocketClient, message: str) -> float:
    """The time at which the update with that message is there."""
    await client.wait("task_update", lambda frame: frame["data"]["message"] == message, timeout=30)
    return time.time()


@pytest.fixture(scope="module")
def plain() -> Iterator[Site]:
    """A site as it comes: SQLite, no Redis anywhere, every setting at its default."""
    with Site() as site:
        yield site


@pytest.mark.requirement("F1")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_in_a_shell_arrives_without_redis(plain: Site, kind: str) -> None:
    """`manage.py shell` in another process, SQLite and the in-memory layer: in the median within 1.5 s."""
    live = Live(plain, plain.start(kind))
    assert "REDIS_URL" not in plain.env
    assert statistics.median(await latencies(live, count=5, pause=0.3)) < 1.5


@pytest.mark.requirement("F1")
async def test_a_change_in_a_shell_arrives_at_once_with_redis(clustered: Live) -> None:
    """With Redis the median of 25 changes takes less than 100 ms."""
    found = await latencies(clustered, count=25, pause=0.05)
    assert len(found) == 25
    assert statistics.median(found) < 0.1


@pytest.mark.requirement("F1")
async def test_a_change_by_one_server_arrives_at_the_others_clients(cluster: dict[str, Live]) -> None:
    """A worker's task is seen at once on every server, over both transports."""
    one, other = cluster.values()
    person = await one.person()
    task_id = await one.task(person)
    async with await one.watching(person) as socket, await other.stream(person, topics=["mine"]) as stream:
        await stream.wait("subscribed")
        clock = Stopwatch()
        for word in ("here", "there", "everywhere"):
            await one.change(task_id, message=word)
            with clock.lap():
                await socket.wait("task_update", lambda f, word=word: f["data"]["message"] == word)
                await stream.wait("task_update", lambda e, word=word: e.json["data"]["message"] == word)
        assert clock.usual < 0.5
