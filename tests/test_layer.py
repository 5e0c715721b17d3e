"""The channel layer as a doorbell: groups for people's own consumers, and an ear that comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.consumer import AsyncConsumer
from channels.layers import InMemoryChannelLayer
from channels.testing import ApplicationCommunicator
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime import layer
from realtime.ear import Ear
from realtime.events import BROADCAST, TASK_DELETED, TASK_UPDATE, LogEvent
from realtime.testing import default_layer
from tests.kit.services import RedisServer
from tests.kit.waiting import aeventually

TASK = "0b5a9c1e-6f0a-4b5e-9a39-0d6a3a1f1c11"


def event(position: int, kind: str = TASK_UPDATE) -> LogEvent:
    """Return an event of the one task, or a broadcast."""
    return LogEvent(position, kind, "now", task_id=TASK if kind != BROADCAST else "", version=position)


def pubsub(redis: RedisServer) -> RedisPubSubChannelLayer:
    """Return the layer of a deployment, as its settings make it."""
    return RedisPubSubChannelLayer(hosts=[{"address": redis.url, "health_check_interval": 1}])


@pytest.fixture(params=["in memory", "redis"])
async def any_layer(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[Any]:
    """Each of the two layers, as the process's default."""
    made = InMemoryChannelLayer() if request.param == "in memory" else pubsub(redis)
    with default_layer(made):
        yield made
    await made.flush()


class Listener:
    """An ear, and what it has heard."""

    def __init__(self, on: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self._rung = 0
        self.ear = Ear(self.messages.append, on)
        self._task = asyncio.create_task(self.ear.listen())

    async def __aenter__(self) -> Listener:
        await self.ear.tried.wait()
        if self.ear.layer is None:
            return self
        # Redis may take what is published before the subscription that was sent to it before.
        await aeventually(self._ring)
        await aeventually(lambda: self.messages[-1]["position"] == self._rung)
        self.messages.clear()
        return self

    async def _ring(self) -> bool:
        self._rung += 1
        await self.ear.layer.group_send(layer.GROUP, {"type": "realtime.head", "position": self._rung})
        return bool(self.messages)

    async def __aexit__(self, *failure: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def positions(self) -> list[int]:
        """The positions of all events heard."""
        return [e.position for message in self.messages for e in layer.decode(message)[0]]


async def test_what_is_sent_is_heard(any_layer: Any) -> None:
    """Events sent to the layer arrive as the same events, in order."""
    async with Listener(any_layer) as listener:
        await layer.send([event(1), event(2, BROADCAST)])
        await layer.send([event(3, TASK_DELETED)])
        await aeventually(lambda: listener.positions == [1, 2, 3])
        assert layer.decode(listener.messages[0]) == ([event(1), event(2, BROADCAST)], 0)


async def test_an_event_too_large_for_a_message_says_only_the_head(any_layer: Any) -> None:
    """Over 64 KiB a message names the position the log has reached, and no event."""
    large = LogEvent(7, TASK_UPDATE, "now", task_id=TASK, data={"x": "x" * layer.MESSAGE_BYTES})
    async with Listener(any_layer) as listener:
        await layer.send([large])
        await aeventually(lambda: listener.messages)
        assert layer.decode(listener.messages[0]) == ([], 7)


class Watch(AsyncConsumer):
    """Somebody's own consumer of one task's group, as the Channels documentation has it."""

    async def test_join(self, message: dict[str, Any]) -> None:
        """Join the group."""
        await self.channel_layer.group_add(f"task.{TASK}", self.channel_name)
        await self.send({"type": "joined"})

    async def task_update(self, message: dict[str, Any]) -> None:
        """Tell the test."""
        await self.send(message)

    task_deleted = task_update


@pytest.mark.parametrize("groups", [True, False])
async def test_task_groups_reach_peoples_own_consumers(any_layer: Any, settings: Any, groups: bool) -> None:
    """With ``TASK_GROUPS`` each task's events also go to ``task.<id>``; without it nothing does."""
    settings.REALTIME = {"TASK_GROUPS": groups}
    consumer = ApplicationCommunicator(Watch.as_asgi(), {"type": "test"})
    await consumer.send_input({"type": "test.join"})
    await consumer.receive_output(5)
    async with Listener(any_layer) as listener:
        await layer.send([event(1), event(2, BROADCAST), event(3, TASK_DELETED)])
        await aeventually(lambda: listener.positions == [1, 2, 3])
    if groups:
        received = [await consumer.receive_output(5) for _ in range(2)]
        assert [(m["type"], m["position"]) for m in received] == [("task.update", 1), ("task.deleted", 3)]
        assert {m["task_id"] for m in received} == {TASK}
    assert await consumer.receive_nothing(0.05)
    consumer.stop(exceptions=False)


@pytest.mark.requirement("F10")
async def test_an_ear_hears_again_after_redis_was_away(redis: RedisServer) -> None:
    """Redis is killed and comes back empty: sends fail meanwhile, the ear stays, and hears again."""
    made = pubsub(redis)
    async with Listener(made) as listener:
        await layer.send([event(1)], made)
        await aeventually(lambda: listener.positions == [1])
        redis.kill()
        with pytest.raises(RedisConnectionError):
            await layer.send([event(2)], made)
        redis.start()

        async def hears() -> bool:
            await layer.send([event(3)], made)
            await asyncio.sleep(0.05)
            return 3 in listener.positions

        await aeventually(hears, timeout=20)
    await made.flush()


async def test_an_ear_joins_again_when_its_layer_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A layer that raises at ``receive`` is joined anew; the log says so once, not at every attempt."""

    class Failing(InMemoryChannelLayer):
        """A layer whose first receives fail, as a broken connection makes them."""

        failures = 2

        async def receive(self, channel: str) -> Any:
            """Fail, then be whole again."""
            if self.failures:
                self.failures -= 1
                raise ConnectionError
            return await super().receive(channel)

    made = Failing()
    async with Listener(made) as listener:
        await aeventually(lambda: not made.failures and listener.ear.joined.is_set())
        await aeventually(lambda: bool(made.groups.get(layer.GROUP)))
        await layer.send([event(5)], made)
        await aeventually(lambda: listener.positions == [5])


async def test_without_a_layer_nothing_is_sent_and_nothing_fails() -> None:
    """A site without ``CHANNEL_LAYERS`` lives by its log alone."""
    with default_layer(None):
        await layer.send([event(1)])
        assert not layer.crosses_processes()
        async with Listener(None) as listener:
            assert not listener.messages
