"""A subscription that lives and brings nothing: the hub finds out by a probe, says so, and joins anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.test import AsyncClient, Client
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime import database, ear, layer, log
from realtime.hub import Hub
from realtime.testing import default_layer
from tests.kit.services import RedisServer
from tests.kit.waiting import aeventually
from tests.peers import process_hub
from tests.watching import log_updates

pytestmark = pytest.mark.requirement("O3")

#: The database plays no part here.
ONE_ENGINE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)

Users = Callable[..., Any]

#: Often enough for a test; the log is asked as seldom as can be where the layer is to be seen at work.
EVERY = 0.1


@pytest.fixture(autouse=True)
def soon(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes come and are missed in tenths of seconds."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": EVERY}
    monkeypatch.setattr(ear, "PROBE_DEADLINE", 0.3)


class GreenButDead(InMemoryChannelLayer):
    """A layer whose members stay members and receive nothing, until they join anew."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf: set[str] = set()
        #: Whether those who join anew are deaf as well.
        self.for_ever = False

    def swallow(self, for_ever: bool = False) -> None:
        """From now on take everything and deliver nothing to those who have joined."""
        self.for_ever = for_ever
        self.deaf |= {name for members in self.groups.values() for name in members}

    async def group_add(self, group: str, channel: str) -> None:
        """Join, and hear, unless the fault lasts."""
        await super().group_add(group, channel)
        if self.for_ever:
            self.deaf.add(channel)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Deliver, or swallow."""
        if channel not in self.deaf:
            await super().send(channel, message)


@pytest.fixture
async def green_but_dead(engine: str) -> AsyncIterator[tuple[GreenButDead, Hub]]:
    """Have this process's hub on such a layer, which is whole at first."""
    made = GreenButDead()
    with default_layer(made):
        async with process_hub() as hub:
            await aeventually(lambda: hub.ear.round_trip is not None)
            yield made, hub


async def readyz() -> tuple[int, dict[str, Any]]:
    """Ask this process, as a load balancer does."""
    answer = await AsyncClient().get("/readyz")
    return answer.status_code, answer.json()


@ONE_ENGINE
async def test_a_subscription_that_brings_nothing_is_found_and_joined_anew(
    green_but_dead: tuple[GreenButDead, Hub], make_user: Users
) -> None:
    """Ready, degraded while nothing comes, and ready again, by itself; no event is missed meanwhile."""
    made, hub = green_but_dead
    user = await database.run(make_user)
    assert (await readyz())[1]["status"] == "ready"
    made.swallow(for_ever=True)

    async def degraded() -> bool:
        status, said = await readyz()
        assert status == 200
        return said["status"] == "degraded" and said["reasons"] == {"layer": ear.DEAF}

    await aeventually(degraded)
    await database.run(log_updates, str(user.pk), 3)
    await aeventually(lambda: hub.ear.joined.is_set() and len(made.deaf) > 2)
    head = await database.run(log.position)
    await aeventually(lambda: hub.position == head)
    made.for_ever = False

    async def ready() -> bool:
        return (await readyz())[1]["status"] == "ready"

    await aeventually(ready)
    # Whoever left is no member any more.
    assert len(made.groups[layer.GROUP]) == 1


@ONE_ENGINE
async def test_messages_that_come_late_are_no_reason_to_join_anew(
    green_but_dead: tuple[GreenButDead, Hub],
) -> None:
    """What arrives before the probe stands in a queue with it: the subscription lives, degraded."""
    made, hub = green_but_dead
    members = {*made.groups[layer.GROUP]}
    send = made.send

    async def all_but_probes(channel: str, message: dict[str, Any]) -> None:
        await send(
            channel, {"type": "realtime.head", "position": 0} if message["type"] == ear.PROBE else message
        )

    made.send = all_but_probes  # type: ignore[method-assign]
    await aeventually(lambda: hub.ear.fault == ear.SLOW)
    made.send = send  # type: ignore[method-assign]
    await aeventually(lambda: hub.ear.fault == "")
    assert {*made.groups[layer.GROUP]} == members


@ONE_ENGINE
async def test_a_subscription_that_redis_has_forgotten_is_made_again(engine: str, redis: RedisServer) -> None:
    """The layer believes in it, and so would never ask for it again."""
    made = RedisPubSubChannelLayer(hosts=[{"address": redis.url}])
    hub = Hub(channel_layer=made)
    await hub.start()
    try:
        await aeventually(lambda: hub.ear.round_trip is not None)
        with redis.client() as client:
            (name,) = (name for name in client.pubsub_channels() if name.endswith(layer.GROUP))
            assert client.pubsub_numsub(name) == [(name, 1)]
            # Behind the layer's back, as a broker that loses its memory.
            await made._get_layer()._shards[0]._pubsub.unsubscribe(name)
            await aeventually(lambda: client.pubsub_numsub(name) == [(name, 0)])
            await aeventually(lambda: client.pubsub_numsub(name) == [(name, 1)])
        await aeventually(lambda: hub.ear.fault == "" and hub.ear.joined.is_set())
    finally:
        await hub.stop()
        await made.flush()


async def test_an_ear_leaves_nothing_behind_while_redis_is_down(redis: RedisServer) -> None:
    """Each attempt to join a Redis that is away would leave half of a channel in the layer."""
    made = RedisPubSubChannelLayer(hosts=[{"address": "redis://127.0.0.1:1"}])
    listener = ear.Ear(lambda message: None, made)
    for _ in range(3):
        with pytest.raises(RedisConnectionError):
            await listener.join()
    assert made._get_layer().channels == {}
    await listener.probe()
    assert listener.fault == ear.AWAY
    await made.flush()


@ONE_ENGINE
async def test_a_site_without_a_layer_is_ready(engine: str) -> None:
    """Nothing is missing where nothing was asked for."""
    with default_layer(None):
        async with process_hub():
            status, said = await readyz()
    assert (status, said["status"], said["layer"]) == (200, "ready", {"status": "off"})
    assert said["reasons"] == {}


def test_without_asgi_there_is_life_and_no_readiness(client: Client) -> None:
    """A WSGI server can answer `/healthz`; it has no hub that could be ready."""
    assert client.get("/healthz").json() == {"status": "alive"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (501, "asgi_required")
    assert client.post("/readyz").status_code in (403, 405)
