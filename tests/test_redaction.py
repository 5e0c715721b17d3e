"""No credential in any log: not uvicorn's, not daphne's, not ours, whatever is asked and however it fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows import JWT, KINDS, Live
from tests.kit.clients import SocketClient, StreamClient
from tests.kit.site import Site
from tests.kit.waiting import aeventually

PASSWORD = "a password that must not be logged"
LOUD = {
    "daphne": ["--access-log", "-", "-v", "2"],
    "uvicorn": ["--access-log", "--log-level", "debug"],
}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site of its own, whose servers say all they can."""
    with Site() as site:
        yield site


@pytest.mark.requirement("K11")
@pytest.mark.parametrize("kind", KINDS)
async def test_no_log_holds_a_credential(site: Site, kind: str) -> None:
    """Good and bad tokens in header, URL, message and form; the requests are in the log, the tokens not."""
    live = Live(site, site.start(kind, arguments=LOUD[kind]))
    person = await live.person(password=PASSWORD)
    pair = (
        await live.http("POST", "/api/token/", json={"username": person.name, "password": PASSWORD})
    ).json()
    await live.http("POST", "/api/token/refresh/", json={"refresh": pair["refresh"]})
    tokens = [person.token, pair["access"], pair["refresh"], person.token[:-3] + "bad"]
    for token in tokens:
        for headers, query in (
            ({"Authorization": f"Bearer {token}"}, {}),
            ({}, {"token": token}),
            ({}, {"topic": "mine", "token": token}),
        ):
            socket = await SocketClient.connect(live.server, headers=headers, query=query)
            if (await socket.wait())["type"] == "connected":
                await socket.send({"action": "authenticate", "token": token})
                await socket.send_raw('{"action": "authenticate", "token": ["' + token + '"]}')
            await socket.close()
            async with await StreamClient.connect(live.server, headers=headers, query=query) as stream:
                if stream.status == 200:
                    await stream.wait("connected")
        for path in ("/healthz", "/nowhere", "/ws", "/events?task_id=bad"):
            joined = "&" if "?" in path else "?"
            await live.http("GET", f"{path}{joined}x=1&token={token}&y=2")
    await aeventually(lambda: "/nowhere" in live.server.log())
    log = live.server.log()
    assert "/events" in log
    assert "/ws" in log or kind == "daphne"
    assert JWT.search(log) is None
    for token in tokens:
        assert token.split(".")[2] not in log
    assert PASSWORD not in log
