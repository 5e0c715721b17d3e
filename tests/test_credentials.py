"""Which credential counts: the first that is there, good or bad, at every door."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from realtime.api.tokens import LoginSerializer
from realtime.auth import credentials, tokens
from realtime.client import Client
from realtime.client.credential import Credential as ClientCredential
from realtime.diagnosis.visitor import Visitor
from realtime.events import Credential
from realtime.exceptions import INVALID_TOKEN, TOKEN_EXPIRED, Refused
from realtime.protocol.client import Authenticate
from realtime.rights import Found
from tests import doors
from tests.doors import CONNECTED, Key
from tests.flows import Live, Person
from tests.kit.accounts import access_token
from tests.kit.clients import SocketClient
from tests.kit.sockets import MSGPACK

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#: The order of the doors, and what a bad one of each kind is refused with.
ORDER = {
    "header": "invalid_token",
    "pair": "invalid_token",
    "ticket": "invalid_ticket",
    "query": "invalid_token",
    "cookie": "not_authenticated",
}


async def good_key(live: Live, person: Person, kind: str) -> Key:
    """A credential of that kind which opens the doors once."""
    if kind == "ticket":
        return doors.ticket(await doors.ticket_of(live, person.token))
    if kind == "cookie":
        return doors.cookie(live, await doors.session(live, person))
    return {"header": doors.header, "pair": doors.pair, "query": doors.query}[kind](person.token)


def bad_key(live: Live, kind: str) -> Key:
    """One that opens none."""
    if kind == "cookie":
        return doors.cookie(live, "0" * 32)
    makers = {"header": doors.header, "pair": doors.pair, "query": doors.query, "ticket": doors.ticket}
    return makers[kind]("garbage")


@pytest.mark.requirement("44")
@pytest.mark.parametrize("kind_of_key", ORDER)
async def test_each_credential_opens_both_doors(live: Live, kind_of_key: str) -> None:
    """On its own: as the user whose it is. A pair of subprotocols is for the socket only."""
    person = await live.person()
    assert await doors.at_socket(live, await good_key(live, person, kind_of_key)) == CONNECTED
    if kind_of_key != "pair":
        assert await doors.at_stream(live, await good_key(live, person, kind_of_key)) == CONNECTED


async def test_the_first_credential_counts_good_or_bad(live: Live) -> None:
    """Of two the first decides: a bad one is refused though a good one follows, and the other way round."""
    person = await live.person()
    for first, second in combinations(ORDER, 2):
        reached = [doors.at_socket] if "pair" in (first, second) else [doors.at_socket, doors.at_stream]
        for knock in reached:
            bad_first = bad_key(live, first) + await good_key(live, person, second)
            assert await knock(live, bad_first) == ORDER[first], (first, second)
            good_first = await good_key(live, person, first) + bad_key(live, second)
            assert await knock(live, good_first) == CONNECTED, (first, second)


@pytest.mark.requirement("44")
async def test_rejects_missing_token(live: Live) -> None:
    """Nobody comes in as nobody: no credential, empty ones, and a session without a user are refused."""
    empty_session = await live.run(
        "from django.contrib.sessions.backends.db import SessionStore\n"
        "store = SessionStore()\nstore['cart'] = 1\nstore.create()\nstore.session_key"
    )
    for key, code in (
        (Key(), "not_authenticated"),
        (doors.cookie(live, empty_session), "not_authenticated"),
        (Key({"Cookie": "sessionid=", "Origin": live.server.url}), "not_authenticated"),
        (Key({"Authorization": "Basic dXNlcjpwYXNz"}), "not_authenticated"),
        (Key({"Authorization": "Bearer"}), "invalid_token"),
        (doors.query(""), "invalid_token"),
        (doors.ticket(""), "invalid_ticket"),
        (Key(subprotocols=["bearer"]), "invalid_token"),
    ):
        assert await doors.at_both(live, key) == {code}, vars(key)


@pytest.mark.requirement("44", "K9")
async def test_rejects_invalid_token(live: Live) -> None:
    """A refresh token, an expired one and a ticket for a token open nothing, wherever a token may stand."""
    person = await live.person()
    refresh = (await doors.login(live, person))["refresh"]
    expired = await asyncio.to_thread(live.site.token, person.name, -5)
    ticket = await doors.ticket_of(live, person.token)
    for token, code in ((refresh, "invalid_token"), (expired, "token_expired"), (ticket, "invalid_token")):
        for place in (doors.header, doors.pair, doors.query):
            assert await doors.at_both(live, place(token)) == {code}
        assert await doors.at_api(live, doors.header(token)) == code
        async with await live.socket(person) as socket:
            await socket.send({"action": "authenticate", "token": token})
            assert (await socket.wait("error"))["code"] == code
            await socket.ping()
    for token in (person.token, refresh):
        assert await doors.at_both(live, doors.ticket(token)) == {"invalid_ticket"}
    answer = await live.http("POST", "/api/token/refresh/", json={"refresh": person.token})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_a_bad_header_is_not_passed_over_for_its_form(live: Live) -> None:
    """Whatever white space or letters a client writes: a bearer header counts, and counts alone."""
    person = await live.person()
    for text in ("Bearer\tgarbage", "bearer  garbage", "BEARER garbage", f"Bearer {person.token} more"):
        key = Key({"Authorization": text}) + doors.query(person.token)
        assert await doors.at_both(live, key) == {"invalid_token"}, text
        assert await doors.at_api(live, key) == "invalid_token"
    assert await doors.at_both(live, Key({"Authorization": f"bEARER   {person.token}"})) == {CONNECTED}


async def test_the_pair_of_subprotocols(live: Live) -> None:
    """`bearer, <jwt>` is accepted with the protocol that is spoken, and the token is never echoed."""
    person = await live.person()
    for others, chosen in (([], "bearer"), (["realtime.json"], "realtime.json"), ([MSGPACK], MSGPACK)):
        for offered in (["bearer", person.token, *others], [*others, "bearer", person.token]):
            async with await SocketClient.connect(live.server, subprotocols=offered) as socket:
                assert (await socket.wait("connected"))["user_id"] == str(person.id)
                assert socket.connection.subprotocol == chosen
                response = socket.connection.response
                assert response is not None
                assert person.token not in str(response.headers)


async def test_a_repeated_credential_counts_once(live: Live) -> None:
    """Of two of a kind in a URL the last counts, as in Django's query strings, and alone."""
    person = await live.person()
    for first, second, answer in (
        ("garbage", person.token, CONNECTED),
        (person.token, "garbage", "invalid_token"),
    ):
        path = f"/events?token={first}&token={second}"
        async with await doors.StreamClient.connect(live.server, path=path) as stream:
            assert stream.status == (200 if answer == CONNECTED else 401)


def test_no_token_in_a_url_where_that_is_turned_off(settings: object) -> None:
    """With QUERY_TOKEN false a good one is refused, and does not make way for the cookie."""
    settings.REALTIME = {"QUERY_TOKEN": False}  # type: ignore[attr-defined]
    scope = {"query_string": b"token=a.b.c", "headers": [(b"cookie", b"sessionid=abc")]}
    with pytest.raises(Refused) as refused:
        credentials.find(scope)
    assert refused.value.problem is INVALID_TOKEN
    assert "ticket" in refused.value.message


def test_what_was_hidden_is_found_and_shown_nowhere() -> None:
    """The scope keeps no credential where others look, and looking twice finds the same."""
    scope = {
        "query_string": b"topic=mine&to%6ben=s3cret&ticket=s3cret&x=1",
        "headers": [(b"sec-websocket-protocol", b"bearer, s3cret, realtime.json")],
        "subprotocols": ["bearer", "s3cret", "realtime.json"],
    }
    credentials.hide(scope)
    once = dict(scope)
    found = credentials.find(scope)
    assert scope == once
    assert (found.kind, found.value) == ("token", "s3cret")
    assert scope.pop(credentials.CREDENTIALS_KEY) == dict.fromkeys(("bearer", "ticket", "token"), "s3cret")
    assert scope["query_string"] == b"topic=mine&x=1"
    assert "s3cret" not in str(scope) + repr(found)


@pytest.mark.parametrize(
    "holder",
    [
        credentials.Presented(credentials.TOKEN, "s3cret"),
        Authenticate(token="s3cret"),
        Credential("session", password="s3cret", session="s3cret"),
        Found({}, {}, {"s3cret"}),
        Visitor("ada", "s3cret", "s3cret", "65c5d3c5-47ba-4c63-aec6-9e4943b37d85"),
        ClientCredential("s3cret", "s3cret", "ada", "s3cret"),
        Client("https://example.com", token="s3cret"),
    ],
    ids=lambda holder: type(holder).__module__,
)
def test_what_holds_a_credential_does_not_show_it(holder: object) -> None:
    """What is logged by accident, or stands in a traceback with its locals, tells no credential."""
    assert "s3cret" not in f"{holder!r} {holder}"


@pytest.mark.requirement("W2")
async def test_a_socket_is_renewed_by_the_same_user_only(live: Live) -> None:
    """`authenticate` with another user's token is refused; one's own renews, whatever opened the socket."""
    person, other = await live.person(), await live.person()
    key = await good_key(live, person, "cookie")
    async with await SocketClient.connect(live.server, headers=key.headers) as socket:
        assert (await socket.wait("connected")).get("expires_at") is None
        for token, answer in ((other.token, "wrong_user"), ("garbage", "invalid_token"), (person.token, "")):
            request_id = uuid.uuid4().hex
            await socket.send({"action": "authenticate", "token": token, "request_id": request_id})
            frame = await socket.wait(None, lambda f, r=request_id: f.get("request_id") == r)
            assert frame.get("code", "") == answer
        assert frame["type"] == "authenticated"
        assert frame["expires_at"]


@pytest.mark.requirement("44")
def test_a_token_has_one_text(engine: str, make_user: Callable[..., Any]) -> None:
    """Its signature has bits to spare and room for other letters: only the text that was given counts."""
    good = access_token(make_user().username)
    last = BASE64URL.index(good[-1])
    assert last % 4 == 0
    others = [good[:-1] + BASE64URL[last + spare] for spare in (1, 2, 3)]
    others += [f"{good}=", good[:-5] + "!" + good[-5:], good[:-5] + "\n" + good[-5:], f" {good}"]
    assert tokens.validated(good)
    for other in others:
        with pytest.raises(Refused) as refused:
            tokens.validated(other)
        assert refused.value.problem is INVALID_TOKEN, other


@pytest.mark.requirement("44")
@pytest.mark.parametrize("body", [b"[" * 30_000, b'{"a":' * 20_000, b"\xff\xfe", b"null", b"1" * 5000])
def test_a_header_of_any_json_is_no_token(body: bytes) -> None:
    """Nested too deeply, no JSON, no object: an invalid token, and no failure of ours."""
    header = base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    with pytest.raises(Refused) as refused:
        tokens.validated(f"{header}.e30.c2ln")
    assert refused.value.problem is INVALID_TOKEN


def test_times_that_no_calendar_has(engine: str, make_user: Callable[..., Any]) -> None:
    """A token that the site itself signed with such an expiry is invalid, and no failure of ours."""
    token = LoginSerializer.get_token(make_user()).access_token
    for moment in (10**30, 10**12, "soon", [1], None, True):
        token["exp"] = moment
        with pytest.raises(Refused) as refused:
            tokens.verify(str(token))
        assert refused.value.problem in (INVALID_TOKEN, TOKEN_EXPIRED)
