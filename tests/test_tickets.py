"""Tickets: they open one connection, once, within seconds, and are worth no more than what they came from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from realtime.auth import sessions, tickets, tokens
from realtime.auth.identity import fingerprint
from realtime.events import Credential
from realtime.exceptions import INVALID_TICKET, REVOKED, TOKEN_EXPIRED, USER_INACTIVE, Problem, Refused
from realtime.models import Ticket
from tests import doors
from tests.doors import CONNECTED
from tests.flows import Live
from tests.kit.accounts import session_key
from tests.kit.clients import SocketClient, StreamClient

Users = Callable[..., Any]
HOUR = 3600


def issue(user: Any, expires_in: float = HOUR) -> str:
    """A ticket for who has just logged in and has a token."""
    credential = Credential(tokens.KIND, issued_at=time.time(), password=fingerprint(user))
    return tickets.issue(user, credential, time.time() + expires_in)


def refused(ticket: str) -> Problem:
    """Why a ticket opens nothing."""
    with pytest.raises(Refused) as caught:
        tickets.redeem(ticket)
    return caught.value.problem


def test_a_ticket_is_its_users_once(engine: str, make_user: Users) -> None:
    """It stands for who asked for it, the first time; then it is nobody's, and no row is left of it."""
    user, other = make_user(), make_user()
    first, second = issue(user), issue(other)
    assert first != second
    assert tickets.redeem(first).user_id == str(user.pk)
    assert refused(first) is INVALID_TICKET
    assert tickets.redeem(second).user_id == str(other.pk)
    assert not Ticket.objects.exists()


def test_a_ticket_ends_after_its_seconds(engine: str, make_user: Users) -> None:
    """Beyond TICKET_SECONDS it is refused, and swept when others are made."""
    user = make_user()
    old = [issue(user) for _ in range(3)]
    Ticket.objects.update(expires_at=timezone.now())
    assert {refused(ticket) for ticket in old} == {INVALID_TICKET}
    fresh = issue(user)
    assert Ticket.objects.count() == 1
    assert tickets.redeem(fresh)


def test_the_database_does_not_know_the_ticket(engine: str, make_user: Users) -> None:
    """Who reads the table finds a digest, which opens nothing."""
    ticket = issue(make_user())
    (row,) = Ticket.objects.values()
    assert ticket not in str(row)
    assert refused(row["digest"]) is INVALID_TICKET


@pytest.mark.requirement("K9", "W14")
def test_a_ticket_is_worth_no_more_than_the_token_it_came_from(engine: str, make_user: Users) -> None:
    """Refused when the token has expired or was logged out, the password is new or the account closed."""
    user = make_user()
    assert refused(issue(user, expires_in=-1)) is TOKEN_EXPIRED
    expiry = tickets.redeem(issue(user)).expires_at
    assert expiry == pytest.approx(time.time() + HOUR, abs=60)
    ticket = issue(user)
    tokens.revoke(str(user.pk))
    assert refused(ticket) is REVOKED
    ticket = issue(user)
    user.set_password("another")
    type(user).objects.filter(pk=user.pk).update(password=user.password)
    assert refused(ticket) is REVOKED
    ticket = issue(user)
    type(user).objects.filter(pk=user.pk).update(is_active=False)
    assert refused(ticket) is USER_INACTIVE
    ticket = issue(user)
    user.delete()
    assert refused(ticket) is USER_INACTIVE


@pytest.mark.requirement("K9")
def test_a_ticket_is_worth_no_more_than_the_session_it_came_from(transactional_db: None) -> None:
    """Refused when the session has ended; until then the connection is the session's."""
    user = get_user_model().objects.create_user("somebody")
    key = session_key(user.username)
    credential = Credential(sessions.KIND, password=fingerprint(user), session=key)
    viewer = tickets.redeem(tickets.issue(user, credential, None))
    assert (viewer.credential, viewer.expires_at) == (credential, None)
    ticket = tickets.issue(user, credential, None)
    SessionStore(key).flush()
    assert refused(ticket) is REVOKED


@pytest.mark.requirement("44")
@pytest.mark.parametrize("attempt", range(3))
async def test_of_twenty_sockets_with_one_ticket_one_wins(cluster: dict[str, Live], attempt: int) -> None:
    """They race on two server processes, four event streams with them: one is let in, 23 are not."""
    live, other = cluster.values()
    person = await live.person()
    key = doors.ticket(await doors.ticket_of(live, person.token))
    knocks = [doors.at_socket(each, key) for _ in range(10) for each in (live, other)]
    knocks += [doors.at_stream(each, key) for _ in range(2) for each in (live, other)]
    answers = await asyncio.gather(*knocks)
    assert sorted(answers) == [CONNECTED, *["invalid_ticket"] * 23]


@pytest.mark.requirement("S13")
async def test_a_ticket_opens_a_stream_once(live: Live) -> None:
    """The URL of an EventSource with a ticket works; the same URL again is answered 401, or closed 4401."""
    person = await live.person()
    key = doors.ticket(await doors.ticket_of(live, person.token))
    async with await StreamClient.connect(live.server, query=key.query) as stream:
        assert (await stream.wait("connected")).json["user_id"] == str(person.id)
    async with await StreamClient.connect(live.server, query=key.query) as again:
        await again.wait_closed()
        assert (again.status, again.json()["code"]) == (401, "invalid_ticket")
        assert again.headers["www-authenticate"] == "Bearer"
    assert await doors.at_socket(live, key) == "invalid_ticket"


async def test_a_connection_ends_with_what_its_ticket_came_from(live: Live) -> None:
    """At the expiry of the token that the ticket was asked for with, the connection ends."""
    person = await live.person()
    token = await asyncio.to_thread(live.site.token, person.name, 3)
    first, second = await doors.ticket_of(live, token), await doors.ticket_of(live, token)
    async with (
        await SocketClient.connect(live.server, query={"ticket": first}) as socket,
        await StreamClient.connect(live.server, query={"ticket": second}) as stream,
    ):
        assert (await socket.wait("connected"))["expires_at"]
        await stream.wait("connected")
        await socket.wait_closed()
        await stream.wait_closed()
    assert (socket.frames[-1]["code"], socket.close_code) == ("token_expired", 4401)
    assert stream.frames[-1]["code"] == "token_expired"


async def test_who_may_ask_for_a_ticket(live: Live) -> None:
    """Nobody without a credential; a ticket gives no ticket; a cookie needs the CSRF token."""
    person = await live.person()
    assert await doors.at_api(live, doors.Key()) == "not_authenticated"
    assert await doors.at_api(live, doors.header("garbage")) == "invalid_token"
    assert (
        await doors.at_api(live, doors.header(await doors.ticket_of(live, person.token))) == "invalid_token"
    )
    key = doors.cookie(live, await doors.session(live, person))
    assert await doors.at_api(live, key) == "csrf_failed"
    key.headers["Cookie"] += "; csrftoken=" + "a" * 32
    key.headers["X-CSRFToken"] = "a" * 32
    answer = await live.http("POST", "/api/ticket/", headers=key.headers)
    assert answer.json()["expires_in"] == 30
    assert await doors.at_stream(live, doors.ticket(answer.json()["ticket"])) == CONNECTED
