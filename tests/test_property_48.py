"""Property 48 of the WebSocket document: a broadcast reaches all connected clients, and its count is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.testing.view import View
from tests.flows import Client, Live, Person, told
from tests.hypothesis_loop import Loop, hundred

#: Per person: WebSockets on daphne and on uvicorn, event streams on daphne and on uvicorn.
PEOPLE = [(1, 0, 0, 0), (0, 1, 1, 0), (1, 1, 1, 1), (0, 0, 1, 2)]


@dataclass
class Crowd:
    """People with open connections on two server processes, and some who may broadcast."""

    loop: Loop
    http: httpx.AsyncClient
    #: Several, as each may send only so many a minute.
    senders: list[Person]
    people: list[Person]
    clients: list[list[Client]] = field(default_factory=list)

    def send(self, chosen: set[int], body: dict[str, Any], count: int) -> dict[str, Any]:
        """Send to the chosen people over one of the servers; return the answer."""
        to = {"kind": "users", "users": [self.people[n].id for n in sorted(chosen)]}
        sender = self.senders[count % len(self.senders)]
        headers = {"Authorization": f"Bearer {sender.token}"}
        path = "/broadcast" if count % 2 else "/broadcast/"
        answer = self.loop.run(self.http.post(path, json={**body, "audience": to}, headers=headers))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def crowd(cluster: dict[str, Live]) -> AsyncIterator[Crowd]:
    """Connections of four people over both transports and both processes."""
    daphne, uvicorn = cluster["daphne"], cluster["uvicorn"]
    people = [await daphne.person() for _ in PEOPLE]
    http = httpx.AsyncClient(base_url=uvicorn.server.url, trust_env=False)
    senders = [await daphne.person("realtime.add_broadcast") for _ in range(5)]
    crowd = Crowd(Loop(), http, senders, people)
    ways = [(daphne, "socket"), (uvicorn, "socket"), (daphne, "stream"), (uvicorn, "stream")]
    for person, counts in zip(people, PEOPLE, strict=True):
        found = [
            await live.come(how, View(), person)
            for (live, how), count in zip(ways, counts, strict=True)
            for _ in range(count)
        ]
        for client in found:
            await told(client, "subscribed")
        crowd.clients.append(found)
    yield crowd
    await asyncio.gather(*(client.close() for found in crowd.clients for client in found), http.aclose())


@pytest.mark.requirement("C1")
@pytest.mark.requirement("48")
async def test_property_48_broadcast_message_delivery(crowd: Crowd) -> None:
    """n sockets and m streams of the audience, over processes: each hears it once, the count is n + m."""
    sent: list[tuple[set[int], str]] = []

    @hundred
    @given(
        chosen=st.sets(st.integers(0, len(PEOPLE) - 1), min_size=1),
        text=st.text(
            st.characters(codec="utf-8", exclude_characters="<\x00"), min_size=1, max_size=50
        ).filter(lambda text: text.isprintable() and text.strip() == text),
        kind=st.sampled_from(["announcement", "alert", "notification"]),
        data=st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9)),
    )
    def holds(chosen: set[int], text: str, kind: str, data: Any) -> None:
        answer = crowd.send(chosen, {"message": text, "type": kind, "data": data}, len(sent))
        sent.append((chosen, answer["id"]))
        expected = sum(len(crowd.clients[person]) for person in chosen)
        assert (answer["recipient_count"], answer["complete"]) == (expected, True)
        for person in chosen:
            for client in crowd.clients[person]:
                frame = crowd.loop.run(told(client, "broadcast", lambda f: f["broadcast_id"] == answer["id"]))
                message = frame["message"]
                assert (message["message"], message["type"], message["data"]) == (text, kind, data)

    await crowd.loop.examples(holds)
    assert len(sent) >= 100
    for person, found in enumerate(crowd.clients):
        mine = [broadcast_id for chosen, broadcast_id in sent if person in chosen]
        for client in found:
            assert [f["broadcast_id"] for f in client.frames if f["type"] == "broadcast"] == mine
