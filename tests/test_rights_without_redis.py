"""Whatever takes a right away reaches the live connections of every process, with Redis dead as well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.flows import KINDS, Client, Live, Person, told
from tests.kit.site import Site
from tests.kit.sockets import SocketClient

#: Seconds within which a connection must have heard of it.
DEADLINE = 5
#: Seconds for which the token that expires is good.
LIFETIME = 4
ALL = "realtime.view_task"


@dataclass(frozen=True)
class Change:
    """What is done in another process, and what the connections of the user hear."""

    code: str
    hears: str
    """The code of the last frame."""
    permissions: tuple[str, ...] = ()
    asks: str = "mine"
    """What the connections have subscribed to."""
    before: str = "user.save()"
    """What the user is made first."""


CHANGES = {
    "deactivated": Change("user.is_active = False; user.save()", "user_inactive"),
    "new password": Change("user.set_password('another'); user.save()", "revoked"),
    "logged out": Change("from realtime.auth import tokens; tokens.revoke(str(user.pk))", "revoked"),
    "permission withdrawn": Change("user.user_permissions.clear()", "rights_changed", (ALL,), "tasks"),
    "superuser no longer": Change(
        "User.objects.filter(pk=user.pk).update(is_superuser=False)",
        "rights_changed",
        asks="tasks",
        before="user.is_superuser = True; user.save()",
    ),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Live, Live]]:
    """Two servers of a site on PostgreSQL, and a Redis that the test may end."""
    with Site("postgres", redis=True) as site:
        first, second = (Live(site, site.start(kind)) for kind in KINDS)
        yield first, second


async def watching(cluster: tuple[Live, Live], person: Person, topic: str) -> list[Client]:
    """A socket and a stream on each server, subscribed."""
    clients: list[Client] = []
    for live in cluster:
        socket = await live.watching(person, topic=topic)
        stream = await live.stream(person, topics=[topic])
        await told(stream, "subscribed")
        clients += [socket, stream]
    return clients


async def ended(clients: list[Client], code: str, seconds: float = DEADLINE) -> None:
    """Each line ends within so many seconds, and its last frame says why."""
    await asyncio.gather(*(client.wait_closed(seconds) for client in clients))
    for client in clients:
        assert client.frames[-1]["code"] == code
        if isinstance(client, SocketClient):
            assert client.close_code == 4401


@pytest.mark.requirement("W14", "F10")
async def test_every_process_hears_within_five_seconds_though_redis_is_dead(
    cluster: tuple[Live, Live],
) -> None:
    """Deactivated, logged out, a new password, a right withdrawn, a token that expires, a task given away."""
    live, moments = cluster[0], list[float]()
    people = {name: await live.person(*change.permissions) for name, change in CHANGES.items()}

    async def make(name: str, code: str) -> None:
        await live.run(f"user = User.objects.get(pk=pk)\n{code}", pk=people[name].id)

    for name, change in CHANGES.items():
        await make(name, change.before)
    clients = {name: await watching(cluster, people[name], c.asks) for name, c in CHANGES.items()}
    giver, taker, short = [await live.person() for _ in range(3)]
    given = await live.task(giver)
    givers, takers = [await watching(cluster, who, "mine") for who in (giver, taker)]
    assert live.site.redis is not None
    live.site.redis.kill()

    token = await asyncio.to_thread(live.site.token, short.name, LIFETIME)
    expires = time.monotonic() + LIFETIME
    expiring = await watching(cluster, Person(short.name, short.id, token), "mine")
    over = asyncio.create_task(ended(expiring, "token_expired", LIFETIME + DEADLINE))
    over.add_done_callback(lambda task: moments.append(time.monotonic()))

    for name, change in CHANGES.items():
        await make(name, change.code)
        await ended(clients[name], change.hears)
    await live.run("t = Task.objects.get(pk=pk); t.owner_id = owner; t.save()", pk=given, owner=taker.id)
    for client in givers:
        assert (await told(client, "task_removed", timeout=DEADLINE))["task_id"] == given
    for client in takers:
        assert (await told(client, "task_update", timeout=DEADLINE))["task_id"] == given
    await over
    assert expires - 1 < moments[0] < expires + DEADLINE
    for client in (*givers, *takers):
        assert not client.closed, "Redis is dead, and nobody is disconnected for that"
        await client.close()
