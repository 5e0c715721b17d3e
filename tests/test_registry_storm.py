"""Many clients come and go while a broadcast is sent: who stays hears it once, and the count is true."""

from __future__ import annotations

import asyncio
import base64
import os
import random

import pytest

from realtime.testing.view import View
from tests.broadcasting import MAY, heard, post
from tests.flows import Client, Live, Person, told
from tests.kit import http_stream
from tests.kit.ports import HOST
from tests.kit.sockets import open_socket
from tests.kit.waiting import aeventually

CONNECTED = b'"connected"'
STAYERS, COMERS, AT_A_TIME, BROADCASTS = 100, 1000, 25, 4


async def come_and_go(live: Live, person: Person, dice: random.Random) -> bytes:
    """Knock at either door and cut the line: at once, a moment later, or when let in."""
    headers = {"Host": f"{HOST}:{live.server.port}", "Authorization": f"Bearer {person.token}"}
    if target := dice.choice(["", "/events"]):
        headers["Accept"] = "text/event-stream"
    else:
        key = base64.b64encode(os.urandom(16)).decode()
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
        headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    reader, writer = await asyncio.open_connection(sock=await open_socket(live.server, None))
    received = b""
    try:
        writer.write(http_stream.request(target or "/ws", headers))
        async with asyncio.timeout(dice.choice([0, 0.01, 10])):
            while CONNECTED not in received and (piece := await reader.read(65_536)):
                received += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return received


@pytest.mark.requirement("K15")
@pytest.mark.requirement("C1")
async def test_a_storm_of_clients_during_a_broadcast(cluster: dict[str, Live]) -> None:
    """On two servers. The count is of those who were there: all who stayed, and who came just then."""
    here, dice = cluster["uvicorn"], random.Random(15)
    sender, person = await here.person(MAY), await here.person()
    sites, began, ended = list(cluster.values()), 0, 0
    stayers: list[Client] = []
    for number in range(STAYERS):
        how = ("socket", "stream")[number % 4 == 3]
        stayers.append(await sites[number % 2].come(how, View(), person))
    for client in stayers:
        await told(client, "subscribed")
    received: list[bytes] = []

    async def restless() -> None:
        nonlocal began, ended
        while began < COMERS:
            began += 1
            received.append(await come_and_go(dice.choice(sites), person, dice))
            ended += 1

    storm = asyncio.gather(*(restless() for _ in range(AT_A_TIME)))
    to = {"kind": "users", "users": [person.id]}
    texts = [f"notice {number}" for number in range(BROADCASTS)]
    for number, text in enumerate(texts):
        await aeventually(lambda due=number: ended >= COMERS * due // BROADCASTS, timeout=60)
        answer = await post(here, sender, message=text, audience=to)
        assert answer["complete"] is True
        assert STAYERS <= answer["recipient_count"] <= STAYERS + began, answer
    await asyncio.wait_for(storm, 120)
    assert ended >= COMERS
    assert sum(CONNECTED in found for found in received) > COMERS / 5, "hardly anybody was let in"
    for client in stayers:
        while len(heard(client)) < BROADCASTS:
            await told(client, "broadcast")
        assert heard(client) == texts
        assert View().feed_all(client.frames).violations == []

    # Of those who went nothing is left: the next broadcast counts exactly those who stayed.
    async def exact() -> bool:
        answer = await post(here, sender, message="afterwards", audience=to)
        return (answer["recipient_count"], answer["complete"]) == (STAYERS, True)

    await aeventually(exact, interval=0.2, timeout=20)
    await asyncio.gather(*(client.cut() for client in stayers))
