"""The rows of real connections: true over each transport and format, and gone when they are."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.doors import from_new_address
from tests.ending import ending
from tests.flows import Live, Person, Sites, told
from tests.kit.sockets import MSGPACK, SocketClient
from tests.kit.waiting import aeventually

pytestmark = pytest.mark.requirement("O1")


async def rows(live: Live, person: Person) -> list[dict[str, Any]]:
    """The rows of a person's connections, the eldest first."""
    code = "list(Connection.objects.filter(user_id=str(owner)).order_by('since').values())"
    found: list[dict[str, Any]] = await live.run(code, owner=person.id)
    return found


async def until(live: Live, person: Person, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Wait until there are so many rows, each with these values; return them."""

    async def there() -> list[dict[str, Any]] | None:
        found = await rows(live, person)
        fits = len(found) == count and all(fields.items() <= row.items() for row in found)
        return found if fits else None

    if count == 0:

        async def none() -> bool:
            return await rows(live, person) == []

        await aeventually(none, interval=0.05)
        return []
    result = await aeventually(there, interval=0.05)
    assert result is not None
    return result


@pytest.mark.parametrize("how", ["json", "msgpack", "stream"])
async def test_a_row_tells_of_its_connection(narrow: Live, how: str) -> None:
    """Who, over what, from where, since when, what it watches, how far it is; and it moves with it."""
    person, headers = await narrow.person(), from_new_address()
    ids = await narrow.tasks(person, 2)
    client: Any
    if how == "stream":
        client = await narrow.stream(person, task_ids=ids, topics=["mine"], headers=headers)
    else:
        speaks = [MSGPACK] if how == "msgpack" else None
        client = await narrow.socket(person, headers=headers, subprotocols=speaks)
        await client.send({"action": "subscribe", "task_ids": ids, "topic": "mine"})
    await told(client, "subscribed")
    (row,) = await until(narrow, person, 1, tasks=2)
    connected = client.frames[0]
    assert row["id"].replace("-", "") == connected["connection_id"]
    assert row["node_id"] == (await narrow.http("GET", "/readyz")).json()["node"]
    assert (row["transport"], row["format"]) == {
        "json": ("websocket", "json"),
        "msgpack": ("websocket", "msgpack"),
        "stream": ("sse", "json"),
    }[how]
    assert row["address"] == headers["X-Forwarded-For"]
    assert "mine" in row["topics"]
    assert (row["behind"], row["overflows"]) == (False, 0)
    since, seen = (datetime.fromisoformat(row[name]) for name in ("since", "seen_at"))
    assert abs(since - datetime.fromisoformat(connected["timestamp"])) < timedelta(seconds=2)
    assert since <= seen <= timezone.now() + timedelta(seconds=2)
    await narrow.change(ids[0], message="moved")
    update = await told(client, "task_update", lambda f: f["data"]["message"] == "moved")
    answering = asyncio.create_task(answer_pings(client)) if how != "stream" else None

    async def moved() -> bool:
        (now,) = await rows(narrow, person)
        measured = answering is None or (now["rtt_last_ms"] or 0) * (now["rtt_mean_ms"] or 0) > 0
        return measured and now["position"] >= update["id"] and now["sent"] > row["sent"]

    await aeventually(moved, interval=0.1, timeout=20)
    if answering is not None:
        answering.cancel()
    await (client.close if how == "json" else client.cut)()
    await until(narrow, person, 0)


async def answer_pings(client: SocketClient) -> None:
    """Answer every ping, as a client does that wants its round trips measured."""
    while True:
        beat = await client.wait("ping", timeout=30)
        await client.send({"action": "pong", "t": beat["t"]})


async def test_rows_of_a_killed_server_are_swept_by_another(sites: Sites) -> None:
    """kill -9 deletes nothing; when the lease is over another process does, and touches no row but those."""
    narrow = sites.live("narrow", "uvicorn")
    person, other = await narrow.person(), await narrow.person()
    async with ending(narrow) as doomed, await narrow.socket(other, headers=from_new_address()):
        lost = await doomed.socket(person, headers=from_new_address())
        (row,) = await until(narrow, person, 1)
        await until(narrow, other, 1)
        os.kill(doomed.server.pid, signal.SIGKILL)
        await lost.wait_closed()
        # Time passes for the dead one alone, as one hour would for it.
        code = (
            "from datetime import timedelta\n"
            "from django.utils import timezone\n"
            "Node.objects.filter(pk=pk).update(seen_at=timezone.now() - timedelta(hours=1))"
        )
        assert await narrow.run(code, pk=row["node_id"]) == 1
        # Another process says that it lives, which is when it sweeps.
        await narrow.run(
            "from realtime.presence import Presence\nit = Presence()\nit._beat()\nit._remove()\n"
        )
        await until(narrow, person, 0)
        await until(narrow, other, 1)


async def test_a_server_that_ends_takes_its_rows_away(sites: Sites) -> None:
    """A drain leaves nothing to be swept."""
    narrow = sites.live("narrow", "daphne")
    person = await narrow.person()
    async with ending(narrow, DRAIN_SECONDS=1) as leaving:
        client = await leaving.socket(person, headers=from_new_address())
        await until(narrow, person, 1)
        os.kill(leaving.server.pid, signal.SIGTERM)
        await client.wait_closed()
        await until(narrow, person, 0)
