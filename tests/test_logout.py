"""Logout, new password, end of a session: what was issued before opens nothing, live connections end."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from realtime.api.tokens import LoginSerializer
from realtime.auth import tokens
from realtime.exceptions import REVOKED, Problem, Refused
from tests import doors
from tests.doors import CONNECTED
from tests.flows import Client, Live, Person
from tests.kit.clients import SocketClient, StreamClient

Users = Callable[..., Any]
#: Seconds within which a connection ends.
DEADLINE = 5
PASSWORD = "a password of the tests"


def refused(raw: str) -> Problem:
    """Why a token opens nothing."""
    with pytest.raises(Refused) as caught:
        tokens.verify(raw)
    return caught.value.problem


@pytest.mark.requirement("K9")
def test_tokens_of_the_second_of_a_logout(engine: str, make_user: Users) -> None:
    """Those of a login before it are refused, those of one after it good, though both say one second."""
    for _ in range(20):  # until all of it lies within one second
        user = make_user()
        before = str(LoginSerializer.get_token(user).access_token)
        tokens.revoke(str(user.pk))
        after = str(LoginSerializer.get_token(user).access_token)
        moments = {jwt.decode(raw, options={"verify_signature": False})["iat"] for raw in (before, after)}
        if len(moments) == 1:
            break
    assert len(moments) == 1
    assert refused(before) is REVOKED
    assert tokens.verify(after).user_id == str(user.pk)
    assert tokens.verify(str(LoginSerializer.get_token(make_user()).access_token))


def test_a_logout_takes_back_no_other(engine: str, make_user: Users, monkeypatch: Any) -> None:
    """Where the clocks of two processes differ, the later time stays."""
    user = make_user()
    tokens.revoke(str(user.pk))
    raw = str(LoginSerializer.get_token(user).access_token)
    ahead = time.time() + 60
    with monkeypatch.context() as other_process:
        other_process.setattr(tokens.time, "time", lambda: ahead)
        tokens.revoke(str(user.pk))
    assert refused(raw) is REVOKED
    tokens.revoke(str(user.pk))
    assert refused(raw) is REVOKED


def test_a_token_that_does_not_say_when_is_refused_after_a_logout(engine: str, make_user: Users) -> None:
    """A site's own token without our claims is rather refused than let in."""
    user = make_user()
    access = LoginSerializer.get_token(user).access_token
    del access[tokens.AUTH_TIME], access["iat"]
    tokens.revoke(str(user.pk))
    assert refused(str(access)) is REVOKED


@pytest.mark.requirement("K9")
async def test_what_was_issued_before_a_logout_is_refused_at_every_door(cluster: dict[str, Live]) -> None:
    """Access, refresh and ticket, also of an older refresh token, at both servers; later ones are good."""
    live, other = cluster.values()
    person = await live.person()
    pair, old = await doors.login(live, person), await doors.login(live, person)
    renewed = await live.http("POST", "/api/token/refresh/", json={"refresh": old["refresh"]})
    assert renewed.status_code == 200
    accesses = [pair["access"], old["access"], renewed.json()["access"]]
    ticket = await doors.ticket_of(live, accesses[2])
    assert await doors.logout(live, headers=doors.header(pair["access"]).headers) == 200
    fresh = await doors.login(live, person)
    for each in (live, other):
        for access in accesses:
            for place in (doors.header, doors.pair, doors.query):
                assert await doors.at_both(each, place(access)) == {"revoked"}
            assert await doors.at_api(each, doors.header(access)) == "revoked"
        for refresh in (pair["refresh"], old["refresh"]):
            for path in ("/api/token/refresh/", "/api/token/logout/"):
                answer = await each.http("POST", path, json={"refresh": refresh})
                assert (answer.status_code, answer.json()["code"]) == (401, "revoked")
        assert await doors.at_both(each, doors.header(fresh["access"])) == {CONNECTED}
    assert await doors.at_socket(live, doors.ticket(ticket)) == "revoked"
    again = await other.http("POST", "/api/token/refresh/", json={"refresh": fresh["refresh"]})
    assert await doors.at_both(live, doors.header(again.json()["access"])) == {CONNECTED}


async def test_a_logout_with_the_refresh_token(live: Live) -> None:
    """Who has only that left logs out with it; nobody logs out without a credential, or another's user."""
    person, other = await live.person(), await live.person()
    pair = await doors.login(live, person)
    assert await doors.logout(live) == 401
    assert await doors.logout(live, json={"refresh": pair["access"]}) == 401
    assert await doors.at_socket(live, doors.header(pair["access"])) == CONNECTED
    assert await doors.logout(live, json={"refresh": pair["refresh"]}) == 200
    assert await doors.at_socket(live, doors.header(pair["access"])) == "revoked"
    assert await doors.at_socket(live, doors.header(other.token)) == CONNECTED


async def everywhere(cluster: dict[str, Live], person: Person, *keys: doors.Key) -> list[Client]:
    """A socket and a stream on each server for each of the keys, tickets only once."""
    clients: list[Client] = []
    for live in cluster.values():
        for key in keys:
            if "Origin" in key.headers:
                key.headers["Origin"] = live.server.url
            clients.append(await SocketClient.connect(live.server, headers=key.headers, query=key.query))
            clients.append(await StreamClient.connect(live.server, headers=key.headers, query=key.query))
        ticket = await doors.ticket_of(live, person.token)
        clients.append(await SocketClient.connect(live.server, query={"ticket": ticket}))
    for client in clients:
        await client.wait("connected")
    return clients


async def all_end(clients: list[Client], code: str) -> None:
    """Each hears why within five seconds, and its line ends: a socket's with 4401."""
    await asyncio.gather(*(client.wait_closed(DEADLINE) for client in clients))
    for client in clients:
        assert client.frames[-1]["code"] == code
        if isinstance(client, SocketClient):
            assert client.close_code == 4401


async def close(*clients: Client) -> None:
    """Close what is still open; it must be."""
    for client in clients:
        if isinstance(client, SocketClient):
            await client.ping()
        assert not client.closed
        await client.close()


@pytest.mark.requirement("W14", "K9")
async def test_a_logout_ends_live_connections_in_every_process(cluster: dict[str, Live]) -> None:
    """Within five seconds, `revoked`; the session's, a later login's and another user's live on."""
    live, last = cluster["daphne"], cluster["uvicorn"]
    person, other = await live.person(), await live.person()
    clients = await everywhere(cluster, person, doors.header(person.token), doors.query(person.token))
    by_cookie = await SocketClient.connect(
        live.server, headers=doors.cookie(live, await doors.session(live, person)).headers
    )
    renewed, stays = await last.socket(person), await last.socket(other)
    assert await doors.logout(live, headers=doors.header(person.token).headers) == 200
    # Just in time: its credential is that of a login after the logout.
    fresh = await doors.login(live, person)
    await renewed.send({"action": "authenticate", "token": fresh["access"]})
    await renewed.wait("authenticated")
    await all_end(clients, "revoked")
    await close(by_cookie, renewed, stays)


@pytest.mark.requirement("W14")
@pytest.mark.parametrize(
    "change",
    [
        "user.set_password('another'); user.save()",
        "User.objects.filter(pk=user.pk).update(password='another')",
    ],
    ids=["save", "update"],
)
async def test_a_new_password_ends_live_connections_in_every_process(
    cluster: dict[str, Live], change: str
) -> None:
    """Those of tokens, tickets and sessions, within five seconds, whether Django tells of it or not."""
    live = cluster["uvicorn"]
    person, other = await live.person(), await live.person()
    session = doors.cookie(live, await doors.session(live, person))
    clients = await everywhere(cluster, person, doors.header(person.token), session)
    stays = await live.socket(other)
    await live.run(f"user = User.objects.get(pk=pk)\n{change}", pk=person.id)
    await all_end(clients, "revoked")
    assert await doors.at_socket(live, session) == "not_authenticated"
    if "save" in change:
        assert await doors.at_both(live, doors.header(person.token)) == {"revoked"}
    await close(stays)


@pytest.mark.requirement("W14")
async def test_djangos_own_logout_ends_what_the_cookie_opened(cluster: dict[str, Live]) -> None:
    """Also in the other process; the connections of the user's tokens and other sessions live on."""
    live, last = cluster["daphne"], cluster["uvicorn"]
    person = await live.person()
    key, elsewhere = await doors.session(live, person), await doors.session(live, person)
    first = await SocketClient.connect(live.server, headers=doors.cookie(live, key).headers)
    second = await StreamClient.connect(last.server, headers=doors.cookie(last, key).headers)
    by_token = await live.socket(person)
    by_other = await SocketClient.connect(last.server, headers=doors.cookie(last, elsewhere).headers)
    for client in (first, second, by_other):
        await client.wait("connected")
    cookies = f"sessionid={key}; csrftoken={'a' * 32}"
    answer = await live.http(
        "POST", "/accounts/logout/", headers={"Cookie": cookies, "X-CSRFToken": "a" * 32}
    )
    assert answer.status_code == 302
    await all_end([first, second], "revoked")
    assert await doors.at_both(live, doors.cookie(live, key)) == {"not_authenticated"}
    await close(by_token, by_other)


async def test_one_answer_for_every_login_that_fails(live: Live) -> None:
    """An unknown name, a wrong password and a closed account cannot be told apart."""
    person, idle = await live.person(password=PASSWORD), await live.person(password=PASSWORD)
    await live.run("User.objects.filter(pk=pk).update(is_active=False)", pk=idle.id)
    tries = ((person.name, "wrong"), ("nobody of that name", PASSWORD), (idle.name, PASSWORD))
    answers = [
        await live.http("POST", "/api/token/", json={"username": name, "password": password})
        for name, password in tries
    ]
    assert {(a.status_code, a.text) for a in answers} == {(401, answers[0].text)}
    assert answers[0].json()["code"] == "invalid_credentials"
    assert not any(re.search("inactive|unknown", a.text) for a in answers)
