"""The subprotocols of the WebSocket: binary frames both ways, and which name the server answers with."""

from __future__ import annotations

import json

import msgpack
import pytest

from realtime.testing.view import View
from tests.flows import Live, told
from tests.kit.raw_socket import BINARY, TEXT, RawSocket
from tests.kit.sockets import MSGPACK, SocketClient

pytestmark = pytest.mark.requirement("W9")

LIMIT = 65_536


async def packed(live: Live, token: str) -> SocketClient:
    """Open a socket whose frames are MessagePack, and read its `connected`."""
    client = await SocketClient.connect(live.server, token, subprotocols=[MSGPACK])
    await client.wait("connected")
    return client


def sized(size: int) -> bytes:
    """A binary ping of that many bytes."""
    empty = len(msgpack.packb({"action": "ping", "t": 1, "pad": b"x" * 65_000}))
    body: bytes = msgpack.packb({"action": "ping", "t": 1, "pad": b"x" * (65_000 + size - empty)})
    assert len(body) == size
    return body


async def test_a_binary_subscribe_and_binary_updates_back(live: Live) -> None:
    """The same objects as a JSON client of the same user receives, each in a binary frame."""
    person = await live.person()
    task_id = await live.task(person)
    async with await packed(live, person.token) as binary, await live.socket(person) as text:
        for client in (binary, text):
            await client.send({"action": "subscribe", "topic": "mine", "request_id": "r"})
            await client.wait("subscribed")
        await live.burst([task_id], 5)
        await live.finish(task_id)
        frames = []
        for client in (binary, text):
            await told(client, "task_update", lambda f: f["data"]["status"] == "completed")
            frames.append([f for f in client.frames if f["type"] == "task_update"])
            assert View().feed_all(client.frames).violations == []
        assert [f["data"] for f in frames[0]] == [f["data"] for f in frames[1]]
        assert frames[0][1:] == frames[1][1:]
        assert (await binary.ping())["t"] == 1


async def test_every_answer_of_a_binary_socket_is_binary(live: Live) -> None:
    """`connected`, errors, pongs, the status: no text frame at all, seen on the line itself."""
    person = await live.person()
    headers = {"Sec-WebSocket-Protocol": MSGPACK}
    async with await RawSocket.connect(live.server, person.token, headers=headers) as raw:
        for asked in ({"action": "status"}, {"action": "ping"}, {"action": "fly"}, {"action": "subscribe"}):
            await raw.write(BINARY, msgpack.packb(asked))
        await raw.write(TEXT, b"{}")
        seen = []
        for _ in range(6):
            frame = await raw.read()
            assert frame.opcode == BINARY
            seen.append(msgpack.unpackb(frame.payload)["type"])
    assert sorted(seen) == ["connected", "error", "error", "error", "pong", "status"]


async def test_websocket_binary_large_payload(live: Live) -> None:
    """A binary message of 65,536 bytes is served; of one byte more: `error` and close 4413."""
    async with await packed(live, (await live.person()).token) as client:
        await client.send_raw(sized(LIMIT))
        await client.wait("pong")
        await client.send_raw(sized(LIMIT + 1))
        await client.wait_closed()
    assert client.frames[-1]["code"] == "message_too_big"
    assert client.close_code == 4413


async def test_a_text_frame_on_a_binary_socket_means_nothing(live: Live) -> None:
    """`unsupported_frame`, in MessagePack; the socket stays and serves the next."""
    async with await packed(live, (await live.person()).token) as client:
        await client.send_raw(json.dumps({"action": "ping", "t": "no"}))
        assert (await client.wait("error"))["code"] == "unsupported_frame"
        await client.ping()
        assert not [frame for frame in client.frames if frame.get("t") == "no"]


async def test_a_binary_frame_on_a_json_socket_means_nothing(live: Live) -> None:
    """Not even one that holds a message: it is not guessed which format was meant."""
    async with await live.socket(await live.person()) as client:
        await client.send_raw(msgpack.packb({"action": "ping", "t": "no"}))
        assert (await client.wait("error"))["code"] == "unsupported_frame"
        await client.ping()
        assert not [frame for frame in client.frames if frame.get("t") == "no"]


async def test_ten_bad_binary_messages_close_the_socket(live: Live) -> None:
    """They are counted as those of JSON are; the last words are MessagePack."""
    async with await packed(live, (await live.person()).token) as client:
        for body in (b"\xc1", b"\x90", b"\x80", b"\x81\xa6action\xa3fly", b"") * 2:
            await client.send_raw(body)
        await client.wait_closed()
    codes = [frame["code"] for frame in client.frames if frame["type"] == "error"]
    assert codes[:5] == [
        *("invalid_msgpack", "invalid_message", "invalid_message", "unknown_action", "invalid_msgpack")
    ]
    assert codes[-1] == "too_many_bad_messages"
    assert client.close_code == 4400


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["graphql-ws"], None),
        (["realtime.json"], "realtime.json"),
        (["realtime.msgpack"], "realtime.msgpack"),
        (["realtime.json", "realtime.msgpack"], "realtime.msgpack"),
        (["other", "realtime.json"], "realtime.json"),
        (["bearer", "TOKEN"], "bearer"),
        (["realtime.json", "bearer", "TOKEN"], "realtime.json"),
        (["bearer", "TOKEN", "realtime.msgpack"], "realtime.msgpack"),
        (["realtime.msgpack", "bearer", "TOKEN"], "realtime.msgpack"),
    ],
)
async def test_the_subprotocol_is_one_of_ours_and_never_the_token(
    live: Live, offered: list[str], chosen: str | None
) -> None:
    """MessagePack before JSON before `bearer`, wherever they stand; the token is a credential, not a name."""
    person = await live.person()
    token = None if "TOKEN" in offered else person.token
    names = [person.token if name == "TOKEN" else name for name in offered]
    async with await SocketClient.connect(live.server, token, subprotocols=names) as client:
        connected = await client.wait("connected")
        assert connected["user_id"] == str(person.id)
        assert client.connection.subprotocol == chosen
        await client.ping()


async def test_a_refusal_speaks_the_subprotocol_that_was_asked_for(live: Live) -> None:
    """A browser reads the reason only if the handshake chose one of the names that it offered."""
    async with await SocketClient.connect(
        live.server, subprotocols=["realtime.msgpack", "bearer", "no-token"]
    ) as client:
        await client.wait_closed()
    assert client.connection.subprotocol == "realtime.msgpack"
    assert [frame["code"] for frame in client.frames] == ["invalid_token"]
    assert client.close_code == 4401
