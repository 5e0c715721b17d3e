"""Who may come in: every good credential opens both doors, every bad one neither, at once."""

from __future__ import annotations

import asyncio
import time
import uuid

import jwt
import pytest

from tests.flows import Live
from tests.kit.clients import SocketClient, StreamClient

PASSWORD = "correct horse battery staple"


async def forged(live: Live) -> dict[str, tuple[str | None, str]]:
    """Bad credentials by name, each with the code it is refused with."""
    person, idle, gone = await live.person(), await live.person(), await live.person(password=PASSWORD)
    claims = jwt.decode(person.token, options={"verify_signature": False})
    head, _, signature = person.token.split(".")
    other_body = idle.token.split(".")[1]
    pair = await live.http("POST", "/api/token/", json={"username": gone.name, "password": PASSWORD})
    await live.run(
        "from django.contrib.auth.models import User\nUser.objects.get(pk=pk).delete()", pk=gone.id
    )
    await live.run(
        "from django.contrib.auth.models import User\nUser.objects.filter(pk=pk).update(is_active=False)",
        pk=idle.id,
    )
    expired = await asyncio.to_thread(live.site.token, person.name, -10)
    foreign = jwt.encode(claims, "another key, long enough for HMAC with SHA-256", "HS256")
    return {
        "none": (None, "not_authenticated"),
        "garbage": ("garbage", "invalid_token"),
        "not ascii": ("schlüssel", "invalid_token"),
        "expired": (expired, "token_expired"),
        "refresh": (pair.json()["refresh"], "invalid_token"),
        "foreign key": (foreign, "invalid_token"),
        "no algorithm": (jwt.encode(claims, None, "none"), "invalid_token"),
        "another's claims": (f"{head}.{other_body}.{signature}", "invalid_token"),
        "deleted user": (pair.json()["access"], "invalid_token"),
        "inactive user": (idle.token, "user_inactive"),
    }


@pytest.mark.requirement("S12")
@pytest.mark.parametrize("place", ["header", "query"])
async def test_a_bad_credential_opens_no_door(live: Live, place: str) -> None:
    """The socket: `error`, then 4401, never `connected`. The stream: 401 and the reason as JSON."""
    for name, (token, code) in (await forged(live)).items():
        headers, query = {}, {}
        if token is not None and place == "query":
            query = {"token": token}
        elif token is not None:
            headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
        socket = await SocketClient.connect(live.server, headers=headers, query=query)
        await socket.wait_closed(timeout=5)
        assert [(f["type"], f.get("code")) for f in socket.frames] == [("error", code)], name
        assert socket.close_code == 4401, name
        async with await StreamClient.connect(live.server, headers=headers, query=query) as stream:
            await stream.wait_closed()
        assert (stream.status, stream.json()["code"]) == (401, code), name
        assert stream.headers["www-authenticate"] == "Bearer"
        assert stream.headers["content-type"] == "application/json"


async def test_a_bad_header_never_falls_through_to_the_query(live: Live) -> None:
    """Where a header is there and bad, a good `?token=` does not count: no downgrade, no second try."""
    person = await live.person()
    socket = await SocketClient.connect(live.server, token="garbage", query={"token": person.token})
    await socket.wait_closed(timeout=5)
    assert socket.close_code == 4401


@pytest.mark.requirement("W1")
@pytest.mark.requirement("S12")
async def test_the_token_endpoints_give_what_opens_both_doors(live: Live) -> None:
    """A password gives an access and a refresh token; the access token opens both doors in header and URL."""
    person = await live.person(password=PASSWORD)
    pair = await live.http("POST", "/api/token/", json={"username": person.name, "password": PASSWORD})
    again = await live.http("POST", "/api/token/refresh/", json={"refresh": pair.json()["refresh"]})
    wrong = await live.http("POST", "/api/token/", json={"username": person.name, "password": "wrong"})
    assert (pair.status_code, again.status_code, wrong.status_code) == (200, 200, 401)
    for token in (pair.json()["access"], again.json()["access"]):
        for headers, query in (({"Authorization": f"Bearer {token}"}, {}), ({}, {"token": token})):
            async with await SocketClient.connect(live.server, headers=headers, query=query) as socket:
                assert (await socket.wait("connected"))["user_id"] == str(person.id)
            async with await StreamClient.connect(live.server, headers=headers, query=query) as stream:
                assert (await stream.wait("connected")).json["user_id"] == str(person.id)


async def test_a_connection_ends_when_its_token_expires(live: Live) -> None:
    """Within five seconds of the expiry: `error token_expired`, and the socket closes with 4401."""
    person = await live.person()
    token = await asyncio.to_thread(live.site.token, person.name, 2)
    expiry = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with (
        await SocketClient.connect(live.server, token) as socket,
        await StreamClient.connect(live.server, token) as stream,
    ):
        await socket.wait("connected")
        await stream.wait("subscribed")
        await socket.wait_closed()
        await stream.wait_closed()
    assert expiry <= time.time() <= expiry + 5
    assert socket.frames[-1]["code"] == stream.frames[-1]["code"] == "token_expired"
    assert socket.close_code == 4401
    assert stream.ended


@pytest.mark.requirement("W2")
async def test_a_connection_lives_on_with_a_new_token(live: Live) -> None:
    """`authenticate` with a newer token of the same user renews it; another user's is refused."""
    person, other = await live.person(), await live.person()
    token = await asyncio.to_thread(live.site.token, person.name, 2)
    expiry = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with await SocketClient.connect(live.server, token) as socket:
        connected = await socket.wait("connected")
        for bad, code in (
            (other.token, "wrong_user"),
            ("garbage", "invalid_token"),
            (token[:-4], "invalid_token"),
        ):
            request_id = uuid.uuid4().hex
            await socket.send({"action": "authenticate", "token": bad, "request_id": request_id})
            assert (await socket.wait("error", lambda f, r=request_id: f["request_id"] == r))["code"] == code
        await socket.send({"action": "authenticate", "token": person.token})
        renewed = await socket.wait("authenticated")
        assert renewed["expires_at"] > connected["expires_at"]
        while time.time() < expiry + 1:
            await socket.ping()
            await asyncio.sleep(0.2)  # live through the old token's expiry
        await socket.ping()
