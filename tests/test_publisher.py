"""The publisher: from any thread of any process to the layer, without waiting and without a hub."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.db import connections

from realtime import layer, publisher
from realtime.ear import Ear
from realtime.events import BROADCAST, LogEvent
from realtime.hub import Hub
from realtime.models import Task
from realtime.testing import default_layer
from tests.kit.site import Site
from tests.kit.waiting import aeventually

#: Saves a task in a process of the site, and returns its id.
SAVE = "str(Task.objects.create(name='import').pk)"


def event(position: int) -> LogEvent:
    """Return a small event."""
    return LogEvent(position, BROADCAST, "now", data={"broadcast_id": str(position)})


@pytest.fixture(autouse=True)
def nobody_is_at_home() -> Iterator[None]:
    """Begin and end without a hub's loop."""
    publisher.settle_on(None)
    yield
    publisher.settle_on(None)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site with a Redis, and no server running."""
    with Site(redis=True) as made:
        yield made


@pytest.fixture
async def heard(site: Site) -> AsyncIterator[list[str]]:
    """The ids of the tasks of all events that come through the site's Redis."""
    tasks: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        tasks.extend(found.task_id for found in layer.decode(message)[0])

    ear = Ear(hear, RedisPubSubChannelLayer(hosts=[site.redis_url]))
    listening = asyncio.create_task(ear.listen())
    await ear.tried.wait()
    assert ear.joined.is_set()
    yield tasks
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.requirement("F1")
async def test_from_a_thread_to_the_hub_at_home(
    hubs: Callable[..., Awaitable[Hub]], settings: Any, make_user: Callable[..., Any]
) -> None:
    """A save in any thread of the hub's process rings on the hub's loop, long before the next check."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 60}
    hub = await hubs()
    publisher.settle_on(asyncio.get_running_loop())
    before = hub.position

    def save() -> None:
        Task.objects.create(name="import")
        connections.close_all()

    await asyncio.to_thread(save)
    await sync_to_async(save)()
    await aeventually(lambda: hub.position == before + 2, timeout=5)


@pytest.mark.requirement("F1")
async def test_from_a_process_without_a_hub(site: Site, heard: list[str]) -> None:
    """A worker's save is heard at once; its one thread and connection serve every later one."""
    worker = site.remote("worker")
    saved = [await worker.arun(SAVE) for _ in range(5)]
    await aeventually(lambda: heard == saved, timeout=5)
    threads = "[t.name for t in __import__('threading').enumerate()].count('realtime-publisher')"
    assert await worker.arun(threads) == 1


async def test_a_forked_child_has_a_publisher_of_its_own(site: Site, heard: list[str]) -> None:
    """Celery's prefork: the child has neither the thread nor the queue of its parent, and rings."""
    parent = site.remote("parent")
    first = await parent.arun(SAVE)
    await aeventually(lambda: heard == [first], timeout=5)
    code = """
import os
from django.db import connections
connections.close_all()
child = os.fork()
if not child:
    try:
        task = Task.objects.create(name="from the child")
        from realtime import publisher
        done = publisher.flush()
    finally:
        os._exit(0 if done else 1)
os.waitpid(child, 0)[1]
"""
    assert await parent.arun(code) == 0
    last = await parent.arun(SAVE)
    await aeventually(lambda: len(heard) == 3, timeout=5)
    assert heard[-1] == last


async def test_a_process_that_ends_sends_what_waits(site: Site, heard: list[str]) -> None:
    """A command that saves and ends at once has rung when it is gone."""
    printed = await asyncio.to_thread(site.shell, f"print({SAVE})")
    await aeventually(lambda: heard == [printed.strip()], timeout=5)


@pytest.mark.requirement("F10")
def test_a_dead_redis_does_not_hold_a_writer_up() -> None:
    """Without Redis a save is as quick, a process ends as usual, and the log has what was written."""
    with Site(redis="redis://127.0.0.1:9/0") as site:
        worker = site.remote()
        worker.run(SAVE)
        code = f"import time; begin = time.monotonic(); {SAVE}; time.monotonic() - begin"
        assert statistics.median(worker.run(code) for _ in range(5)) < 1
        assert worker.run("Event.objects.filter(position=None).count(), Event.objects.count()") == [0, 6]
        assert worker.stop() == 0


async def test_the_queue_is_bounded() -> None:
    """Beyond ``LIMIT`` events are dropped and counted: every hub finds them in the log."""
    sender = publisher.Publisher()
    sender.settle_on(asyncio.get_running_loop())
    sender.publish([event(n) for n in range(publisher.LIMIT - 2)])
    sender.publish([event(n) for n in range(5)])
    assert sender.dropped == 3  # though nobody has taken one yet: a writer does not wait
    assert not sender.flush(0)
    await aeventually(lambda: sender.flush(0))


def test_nothing_is_queued_where_nobody_would_hear() -> None:
    """A process without a hub and with the in-memory layer only has nobody to ring for."""
    sender = publisher.Publisher()
    sender.publish([event(1)])
    assert sender.flush(0)
    assert sender.dropped == 0


class Stuck(InMemoryChannelLayer):
    """A layer whose sends hang, as one of a Redis that does not answer."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


def test_a_loop_that_stopped_is_no_home() -> None:
    """A hub's loop that ended in the middle of a send stops neither writers nor the next hub."""
    sender = publisher.Publisher()
    with asyncio.Runner() as old:
        with default_layer(Stuck()):
            sender.settle_on(old.get_loop())
            sender.publish([event(1)])
            old.run(asyncio.sleep(0.01))
        assert not sender.flush(0)
        with asyncio.Runner() as new:
            sender.settle_on(new.get_loop())
            sender.publish([event(2)])
            new.run(aeventually(lambda: sender.flush(0), timeout=5))
    sender.publish([event(3)])
    assert sender.flush(0)
