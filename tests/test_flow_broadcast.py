"""Broadcasts over HTTP on real servers: who may, who hears, how many, and how they are taken back."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from realtime.testing.view import View
from tests.broadcasting import MAY, bearer, heard, post
from tests.flows import Client, Live, told


@pytest.mark.requirement("C2")
async def test_without_credentials_401_without_the_permission_403(live: Live) -> None:
    """Also for who may see all tasks, and for staff; nothing is sent."""
    seer, staff = await live.person("realtime.view_task"), await live.person(staff=True)
    async with await live.watching(seer) as watcher:
        nobody = await live.http("POST", "/broadcast", json={"message": "x"})
        assert (nobody.status_code, nobody.json()["code"]) == (401, "not_authenticated")
        assert nobody.headers["www-authenticate"] == "Bearer"
        for person in (seer, staff):
            answer = await live.http("POST", "/broadcast", json={"message": "x"}, headers=bearer(person))
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            answer = await live.http("DELETE", "/broadcast/1", headers=bearer(person))
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        await watcher.ping()
        assert heard(watcher) == []


@pytest.mark.requirement("C1")
@pytest.mark.requirement("C4")
@pytest.mark.requirement("K16")
async def test_every_client_of_every_process_hears_it_once(cluster: dict[str, Live]) -> None:
    """WebSockets, subscribed or not, and event streams, on two servers; the count is theirs."""
    here = cluster["daphne"]
    sender, person = await here.person(MAY), await here.person()
    clients: list[Client] = []
    for live in cluster.values():
        clients += [await live.watching(person), await live.socket(person)]
        clients.append(await live.come("stream", View(), person))
    to = {"kind": "users", "users": [person.id]}
    answer = await post(here, sender, message="Soon.", title="Power", level="warning", audience=to)
    assert answer.keys() == {"status", "message", "recipient_count", "complete", "id"}
    assert (answer["status"], answer["recipient_count"], answer["complete"]) == ("sent", 6, True)
    assert answer["message"] == "The broadcast reached 6 connections."
    for client in clients:
        frame = await told(client, "broadcast")
        assert (frame["broadcast_id"], frame["sender"]) == (answer["id"], sender.name)
        assert frame["message"]["message"] == "Soon."
        assert frame["timestamp"].endswith("Z")
    late = await cluster["uvicorn"].watching(person)
    assert (await told(late, "broadcast"))["snapshot"] is True
    gone = await here.http("DELETE", f"/broadcast/{answer['id']}", headers=bearer(sender))
    assert gone.json() == {"status": "retracted", "id": answer["id"]}
    for client in [*clients, late]:
        assert (await told(client, "broadcast_retracted"))["broadcast_id"] == answer["id"]
        assert heard(client) == ["Soon."]
        await client.close()
    async with await here.watching(person) as later:
        await later.ping()
        assert heard(later) == []


@pytest.mark.requirement("C1")
async def test_a_change_in_another_process_reaches_the_embedded_server_too(live: Live) -> None:
    """SQLite and the in-memory layer: `manage.py broadcast` finds the server by the log alone, and counts."""
    person = await live.person()
    async with await live.watching(person) as watcher:
        printed = await asyncio.to_thread(
            live.site.manage,
            "broadcast",
            "Backup <b>now</b>.",
            "--user",
            person.name,
            "--level",
            "critical",
        )
        frame = await told(watcher, "broadcast")
        assert frame["message"]["message"] == "Backup now."
        # A process of this site that another test has killed may be waited for, for as long as its lease.
        assert printed.startswith(f"{frame['broadcast_id']}: reached 1 connections")
        printed = await asyncio.to_thread(live.site.manage, "broadcast", "--retract", frame["broadcast_id"])
        assert printed.endswith(": retracted.\n")
        assert (await told(watcher, "broadcast_retracted"))["broadcast_id"] == frame["broadcast_id"]


@pytest.mark.requirement("C5")
async def test_an_idempotency_key_makes_a_repeated_call_harmless(live: Live) -> None:
    """The header or the field; the answer is that of the first call; with other words it is 409."""
    sender, person = await live.person(MAY), await live.person()
    async with await live.watching(person) as watcher:
        body = {"message": "Once.", "audience": {"kind": "users", "users": [person.id]}}
        calls = [
            await live.http(
                "POST", "/broadcast", json=body, headers=bearer(sender) | {"Idempotency-Key": "k1"}
            ),
            await live.http(
                "POST", "/broadcast", json=body | {"idempotency_key": "k1"}, headers=bearer(sender)
            ),
        ]
        assert calls[0].json() == calls[1].json()
        other = await live.http(
            "POST", "/broadcast", json={"message": "x", "idempotency_key": "k1"}, headers=bearer(sender)
        )
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        await told(watcher, "broadcast")
        await watcher.ping()
        assert heard(watcher) == ["Once."]


@pytest.mark.requirement("C3")
async def test_a_bad_broadcast_is_400_and_names_the_field(live: Live) -> None:
    """Whatever is wrong: the code, the field, and nothing is sent."""
    sender = await live.person(MAY)
    bad: dict[str, dict[str, Any]] = {
        "message": {},
        "title": {"message": "x", "title": "x" * 201},
        "type": {"message": "x", "type": "shout"},
        "level": {"message": "x", "level": 5},
        "data": {"message": "x", "data": "x" * 20_000},
        "audience": {"message": "x", "audience": {"kind": "users", "users": ["987654321"]}},
        "ends_at": {"message": "x", "ends_at": "2020-01-01T00:00:00Z"},
        "starts_at": {"message": "x", "starts_at": "tomorrow"},
        "dismissible": {"message": "x", "dismissible": "yes"},
        "recipients": {"message": "x", "recipients": "all"},
    }
    for field, body in bad.items():
        answer = await live.http("POST", "/broadcast", json=body, headers=bearer(sender))
        assert answer.status_code == 400, body
        assert field in answer.json()["fields"], answer.text
    huge = await live.http("POST", "/broadcast", content=b" " * 3_000_000, headers=bearer(sender) | JSON)
    assert (huge.status_code, huge.json()["code"]) == (413, "body_too_big")


JSON = {"Content-Type": "application/json"}


@pytest.mark.requirement("C5")
async def test_a_scheduled_broadcast_is_sent_at_its_time(live: Live) -> None:
    """The answer says so; it comes by itself, once."""
    sender, person = await live.person(MAY), await live.person()
    async with await live.watching(person) as watcher:
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        to = {"kind": "users", "users": [person.id]}
        answer = await post(live, sender, message="Now.", starts_at=start, audience=to)
        assert (answer["status"], answer["recipient_count"], answer["complete"]) == ("scheduled", 0, False)
        await watcher.ping()
        assert heard(watcher) == []
        frame = await told(watcher, "broadcast")
        assert frame["timestamp"] >= start[:-1]
