"""What a client may send wrong: it is told so, and the socket lives on until it is ten in a row."""

from __future__ import annotations

import json

import pytest

from tests.flows import Live
from tests.kit.raw_socket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket
from tests.messages import checked

LIMIT = 65_536
#: What is sent, and the code of the error it gets.
MALFORMED: list[tuple[str | bytes, str]] = [
    ("", "invalid_json"),
    ("not json", "invalid_json"),
    ("{", "invalid_json"),
    ('{"action": "ping"} trailing', "invalid_json"),
    ("\N{GRINNING FACE}", "invalid_json"),
    ("[" * 20_000, "invalid_json"),
    ('{"action": "ping", "t": ' + "[" * 5_000 + "]" * 5_000 + "}", "invalid_json"),
    ('{"action": "ping", "t": ' + "[" * 200 + "]" * 200 + "}", "invalid_message"),
    ("null", "invalid_message"),
    ("[]", "invalid_message"),
    ('"subscribe"', "invalid_message"),
    ("42", "invalid_message"),
    ("{}", "invalid_message"),
    ('{"action": null}', "invalid_message"),
    ('{"action": "fly"}', "unknown_action"),
    ('{"action": 5}', "unknown_action"),
    ('{"action": ["ping"]}', "unknown_action"),
    ('{"action": "subscribe"}', "invalid_message"),
    ('{"action": "subscribe", "task_id": "not-a-uuid"}', "invalid_message"),
    ('{"action": "subscribe", "task_id": 7}', "invalid_message"),
    ('{"action": "subscribe", "task_ids": "x"}', "invalid_message"),
    ('{"action": "subscribe", "task_ids": []}', "invalid_message"),
    ('{"action": "subscribe", "topic": "everything"}', "unknown_topic"),
    ('{"action": "subscribe", "topic": "mine", "after": [1]}', "invalid_message"),
    ('{"action": "unsubscribe"}', "invalid_message"),
    ('{"action": "ping", "t": {}}', "invalid_message"),
    ('{"action": "authenticate"}', "invalid_message"),
    ('{"action": "authenticate", "token": 1}', "invalid_message"),
    ('{"action": "ping", "request_id": {}}', "invalid_message"),
    ('{"action": "ping", "request_id": true}', "invalid_message"),
    (b"\x81\xa6action\xa4ping", "unsupported_frame"),
    (b"", "unsupported_frame"),
]


@pytest.mark.requirement("W11")
@pytest.mark.requirement("K8")
@pytest.mark.parametrize(("sent", "code"), MALFORMED, ids=[f"{n}-{c}" for n, (_, c) in enumerate(MALFORMED)])
async def test_malformed_input_gets_an_error_and_the_socket_stays(
    live: Live, sent: str | bytes, code: str
) -> None:
    """Every malformed message: `error` with code and message; the next good one is served."""
    async with await live.socket(await live.person()) as client:
        await client.send_raw(sent)
        error = await client.wait("error")
        assert error["code"] == code
        assert error["message"]
        await client.ping()
        assert not client.closed


@pytest.mark.requirement("W11")
async def test_unknown_action(live: Live) -> None:
    """The message names the action that is unknown, and the request it answers."""
    async with await live.socket(await live.person()) as client:
        await client.send({"action": "teleport", "request_id": "r-1"})
        error = await client.wait("error")
    assert (error["code"], error["request_id"]) == ("unknown_action", "r-1")
    assert "Unknown action: teleport" in error["message"]


@pytest.mark.requirement("W11")
@pytest.mark.requirement("K8")
async def test_ten_bad_messages_in_a_row_close_the_socket(live: Live) -> None:
    """4400 after ten; a good message in between begins the count anew."""
    async with await live.socket(await live.person()) as client:
        for _ in range(9):
            await client.send_raw("{")
        await client.ping()
        for _ in range(10):
            await client.send_raw("{")
        await client.wait_closed()
    errors = [frame["code"] for frame in client.frames if frame["type"] == "error"]
    assert errors == ["invalid_json"] * 19 + ["too_many_bad_messages"]
    assert client.close_code == 4400


@pytest.mark.requirement("W9")
async def test_websocket_binary_frame(live: Live) -> None:
    """A binary frame on a JSON connection means nothing: `unsupported_frame`, and the socket stays."""
    async with await live.socket(await live.person()) as client:
        await client.send_raw(b'{"action": "ping"}')
        assert (await client.wait("error"))["code"] == "unsupported_frame"
        await client.ping()
    assert not [frame for frame in client.frames if frame["type"] == "pong" and "t" not in frame]


@pytest.mark.requirement("W9")
async def test_a_message_of_64_kib_works_and_one_byte_more_does_not(live: Live) -> None:
    """65,536 bytes are served; 65,537 get `error message_too_big` and close 4413."""
    async with await live.socket(await live.person()) as client:
        frame = json.dumps({"action": "ping", "t": 1, "pad": ""})
        whole = frame[:-2] + "x" * (LIMIT - len(frame)) + frame[-2:]
        assert len(whole) == LIMIT
        await client.send_raw(whole)
        await client.wait("pong")
        await client.send_raw(whole + " ")
        await client.wait_closed()
    assert client.frames[-1]["code"] == "message_too_big"
    assert client.close_code == 4413


@pytest.mark.requirement("W9")
async def test_websocket_frame_types(live: Live) -> None:
    """Text whole and in fragments with a ping between, binary, pong, close: each has its own answer."""
    async with await RawSocket.connect(live.server, (await live.person()).token) as raw:
        assert json.loads((await raw.read_until(TEXT)).payload)["type"] == "connected"
        await raw.write(TEXT, b'{"action": ', final=False)
        await raw.write(PING, b"between")
        await raw.write(CONTINUATION, b'"ping", "t": 5}')
        assert (await raw.read_until(PONG)).payload == b"between"
        answer = json.loads((await raw.read_until(TEXT)).payload)
        assert (answer["type"], answer["t"]) == ("pong", 5)
        await raw.write(BINARY, b"\x00\x01")
        assert json.loads((await raw.read_until(TEXT)).payload)["code"] == "unsupported_frame"
        await raw.write(PONG, b"nobody asked")
        await raw.write(CLOSE, (1000).to_bytes(2, "big"))
        assert (await raw.read_until(CLOSE)).close_code == 1000


@pytest.mark.requirement("W1")
async def test_websocket_message_serialization(quick: Live) -> None:
    """Every frame of a whole conversation has the fields of its schema, and none besides."""
    person, other = await quick.person(), await quick.person()
    kept, given, gone = await quick.tasks(person, 3)
    async with await quick.watching(person, topic="mine", task_id=kept) as client:
        await client.wait("ping")
        await client.ping()
        await client.send({"action": "status", "request_id": 1})
        await client.send({"action": "authenticate", "token": person.token})
        await quick.change(given, owner_id=other.id)
        await quick.run("Task.objects.get(pk=pk).delete()", pk=gone)
        await quick.finish(kept)
        await client.wait("done")
        await client.send({"action": "unsubscribe", "topic": "mine"})
        await client.wait("unsubscribed")
        await client.send({"action": "nonsense"})
        await client.wait("error")
    async with await quick.socket(person) as again:
        await again.send({"action": "subscribe", "topic": "mine", "after": 1})
        await again.wait("subscribed")
    seen = {checked(frame) for frame in client.frames + again.frames}
    assert seen == {
        *("connected", "subscribed", "unsubscribed", "task_update", "task_removed", "task_deleted"),
        *("ping", "pong", "status", "authenticated", "error", "done", "reset"),
    }
