"""Knocking at the doors of a server with some credential: who is let in, and what the others hear."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from realtime import exceptions
from tests.flows import Live, Person
from tests.kit import leaks
from tests.kit.clients import SocketClient, StreamClient

PROBLEMS = {p.code: p for p in vars(exceptions).values() if isinstance(p, exceptions.Problem)}
CONNECTED = "connected"
_hosts = itertools.count(1)


class Key:
    """A credential where a client puts it: headers, query, or subprotocols."""

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
    ) -> None:
        self.headers, self.query, self.subprotocols = dict(headers or {}), dict(query or {}), [*subprotocols]

    def __add__(self, other: Key) -> Key:
        """Both at once."""
        return Key(
            self.headers | other.headers, self.query | other.query, self.subprotocols + other.subprotocols
        )


def header(token: str) -> Key:
    """The token in the header that programs use."""
    return Key({"Authorization": f"Bearer {token}"})


def pair(token: str) -> Key:
    """The token as the second of two subprotocols."""
    return Key(subprotocols=["bearer", token])


def query(token: str) -> Key:
    """The token in the URL."""
    return Key(query={"token": token})


def ticket(text: str) -> Key:
    """A ticket in the URL."""
    return Key(query={"ticket": text})


def cookie(live: Live, session_key: str, origin: str | None = "") -> Key:
    """A browser's session cookie, sent by a page of the site, or of another origin, or of none."""
    about = {} if origin is None else {"Origin": origin or live.server.url}
    return Key({"Cookie": f"sessionid={session_key}", **about})


async def at_socket(live: Live, key: Key) -> str:
    """Knock at `/ws`: `connected`, or the code of the refusal, which is the only frame."""
    client = await SocketClient.connect(
        live.server, headers=key.headers, query=key.query, subprotocols=key.subprotocols
    )
    first = await client.wait()
    if first["type"] == CONNECTED:
        await client.close()
        return CONNECTED
    await client.wait_closed()
    assert [frame["type"] for frame in client.frames] == ["error"]
    assert client.close_code == PROBLEMS[first["code"]].close_code
    return str(first["code"])


async def at_stream(live: Live, key: Key) -> str:
    """Knock at `/events`: `connected`, or the code of the refusal, with its status."""
    async with await StreamClient.connect(live.server, headers=key.headers, query=key.query) as client:
        if client.status == 200:
            await client.wait(CONNECTED)
            return CONNECTED
        await client.wait_closed()
        answer = client.json()
    assert client.status == PROBLEMS[answer["code"]].status
    assert client.headers["content-type"] == "application/json"
    return str(answer["code"])


async def at_both(live: Live, key: Key) -> set[str]:
    """Knock at both; a key with subprotocols at the socket only."""
    answers = {await at_socket(live, key)}
    return answers if key.subprotocols else answers | {await at_stream(live, key)}


async def at_api(live: Live, key: Key) -> str:
    """Ask the HTTP API for a ticket with the header or the cookie: `connected` when it gives one."""
    answer = await live.http("POST", "/api/ticket/", headers=key.headers)
    return CONNECTED if answer.is_success else str(answer.json()["code"])


async def ticket_of(live: Live, token: str) -> str:
    """A ticket for that access token."""
    answer = await live.http("POST", "/api/ticket/", headers=header(token).headers)
    assert answer.is_success, answer.text
    text: str = answer.json()["ticket"]
    assert leaks.TICKET.fullmatch(text)
    return text


async def login(live: Live, person: Person) -> dict[str, str]:
    """The access and the refresh token of a login."""
    return await asyncio.to_thread(live.site.token_pair, person.name)


async def session(live: Live, person: Person) -> str:
    """The key of a session in which that person is logged in."""
    return await asyncio.to_thread(live.site.session_key, person.name)


async def logout(live: Live, **options: Any) -> int:
    """Log out with `headers` or `json`; the status."""
    return (await live.http("POST", "/api/token/logout/", **options)).status_code


def from_new_address() -> dict[str, str]:
    """Headers of a trusted proxy, for a client whose address nobody else has."""
    number = next(_hosts)
    return {"X-Forwarded-For": f"198.51.{number // 256}.{number % 256}"}
