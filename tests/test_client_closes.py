"""The Python client obeys the table of close codes; and neither silence nor a slow caller stops it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from realtime.client import Client, Denied, Event, Overdue, Subscribed, TaskUpdate, Timing, Unreachable
from tests.kit.ports import HOST
from tests.kit.waiting import aeventually

TASK = "65c5d3c5-47ba-4c63-aec6-9e4943b37d85"
NOW = "2026-11-21T00:50:18.491Z"
DEADLINE = 30.0
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


class Script:
    """A server that plays a part: the acts are its connections, one after the other, the last for ever."""

    def __init__(self) -> None:
        self.acts: list[list[dict[str, Any] | int]] = []
        self.came: list[float] = []
        self.heard: list[dict[str, Any]] = []
        self.authorization: list[str | None] = []
        self.url = ""

    async def play(self, connection: ServerConnection) -> None:
        """Say the frames of the act; a number closes with that code."""
        assert connection.request is not None
        self.authorization.append(connection.request.headers.get("Authorization"))
        act = self.acts[min(len(self.came), len(self.acts) - 1)]
        self.came.append(time.monotonic())
        for line in act:
            if isinstance(line, int):
                await connection.close(line)
                return
            await connection.send(json.dumps({"timestamp": NOW, **line}))
            if line["type"] == "connected":
                asked = json.loads(await connection.recv())
                self.heard.append(asked)
                answer = {name: asked[name] for name in ("task_ids", "topics", "request_id")}
                answer |= {"recovered": True} if "after" in asked else {}
                position = asked.get("after", 10)
                served = {"type": "subscribed", "timestamp": NOW, "id": position, "position": position}
                await connection.send(json.dumps({**served, **answer}))
        async for message in connection:
            self.heard.append(json.loads(message))


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """A server whose acts the test writes."""
    script = Script()
    async with serve(script.play, HOST, 0) as server:
        script.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        yield script


def client(script: Script, **timing: Any) -> Client:
    """A client of that server that does not wait long, but for what a test is about."""
    quick = {"back_off": 0.02, "back_off_limit": 0.05, "connect": 5.0}
    return Client(script.url, token=TOKEN, timing=Timing(**quick | timing))


def hello(**fields: Any) -> dict[str, Any]:
    """The first frame of a connection that is let in."""
    return {"type": "connected", "user_id": "1", "position": 10, "heartbeat_interval": 30} | fields


def said(code: str) -> dict[str, Any]:
    """The last words before a close."""
    return {"type": "error", "code": code, "message": f"Because of {code}."}


async def first(watching: Client, kind: type[Event] = Subscribed, **options: Any) -> Event:
    """Watch until such an event has come."""
    events = watching.watch(TASK, timeout=DEADLINE, **options)
    try:
        async for event in events:
            if isinstance(event, kind):
                return event
    finally:
        await events.aclose()
    raise AssertionError("the watch has ended")


@pytest.mark.requirement("W10")
@pytest.mark.parametrize(
    ("code", "problem"), [(4400, "too_many_bad_messages"), (4403, "disconnected"), (4413, "message_too_big")]
)
async def test_no_retry_where_the_table_says_never(script: Script, code: int, problem: str) -> None:
    """The caller is told the server's reason, and nothing is tried again."""
    script.acts = [[hello(), said(problem), code], [hello()]]
    async with client(script) as watching:
        with pytest.raises(Denied, match="Because of") as caught:
            async for _ in watching.watch(TASK, timeout=DEADLINE):
                pass
    assert caught.value.code == problem
    assert len(script.came) == 1


@pytest.mark.requirement("W10")
async def test_a_refused_token_is_tried_once_more(script: Script) -> None:
    """It may be the rights only that have changed; then the caller is told."""
    script.acts = [[said("token_expired"), 4401]]
    async with client(script) as watching:
        with pytest.raises(Denied) as caught:
            await first(watching)
    assert caught.value.code == "token_expired"
    assert script.authorization == [f"Bearer {TOKEN}"] * 2


@pytest.mark.requirement("W10")
async def test_a_limit_is_met_with_growing_pauses(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """4429, 4500 and a broken line: back off, each time for longer, until it is served."""
    script.acts = [[said("too_many_connections"), 4429], [said("internal"), 4500], [1011], [hello()]]
    asked: list[int] = []
    drawn = Timing.pause
    monkeypatch.setattr(Timing, "pause", lambda timing, n: asked.append(n) or drawn(timing, n))
    async with client(script) as watching:
        await first(watching)
    assert asked == [0, 1, 2]
    assert len(script.came) == 4


@pytest.mark.requirement("W10")
async def test_a_server_that_restarts_says_when_to_come_back(script: Script) -> None:
    """After the `after_ms` of `reconnect`, with the cursor; a slow consumer at once."""
    leave = {"type": "reconnect", "after_ms": 400, "reason": "restarting"}
    script.acts = [
        [hello(), leave, 4503],
        [hello(), said("slow_consumer"), 4410],
        [hello(), {"type": "done", "task_id": TASK}],
    ]
    async with client(script, back_off=20.0, back_off_limit=20.0) as watching:
        assert [event.type async for event in watching.watch(TASK, timeout=DEADLINE)] == ["subscribed"]
    one, two, three = script.came
    assert 0.4 <= two - one < 5
    assert three - two < 5
    assert [asked.get("after") for asked in script.heard if asked["action"] == "subscribe"] == [None, 10, 10]


@pytest.mark.requirement("W9")
async def test_silence_counts_as_a_cut(script: Script) -> None:
    """A line that is dead says nothing; the server's own heartbeat tells how long that may be."""
    script.acts = [[hello(heartbeat_interval=0.1)], [hello(), {"type": "done", "task_id": TASK}]]
    async with client(script) as watching:
        assert len([event async for event in watching.watch(TASK, timeout=DEADLINE)]) == 1
    assert script.came[1] - script.came[0] >= 0.25


async def test_a_caller_who_is_slow_costs_bounded_memory(script: Script) -> None:
    """With as many events waiting as may, nothing more is read, and no ping answered; then it goes on."""
    row = {"task_id": TASK, "status": "running"}
    changes = [
        {"type": "task_update", "id": 10 + n, "task_id": TASK, "data": {**row, "version": n}}
        for n in range(1, 51)
    ]
    script.acts = [[hello(), *changes, {"type": "ping", "t": 1, "id": 60}]]
    async with client(script, queue=8) as watching:
        events = watching.watch(TASK, timeout=DEADLINE)
        await anext(events)
        (watch,) = watching._watches
        await aeventually(lambda: watch._queue.full())
        assert not [message for message in script.heard if message["action"] == "pong"]
        versions = [
            event.task.version for _ in range(50) if isinstance(event := await anext(events), TaskUpdate)
        ]
        assert versions == [*range(1, 51)]
        await aeventually(lambda: {"action": "pong", "t": 1} in script.heard)
        await events.aclose()


async def test_an_address_without_a_websocket_is_told_at_once() -> None:
    """A page of another site, or a proxy that passes no upgrade on: it would not change by itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Client(f"http://{HOST}:{port}", token=TOKEN) as watching:
            with pytest.raises(Denied, match="404"):
                await first(watching)
            with pytest.raises(Unreachable, match="404"):
                await watching.tasks()


async def test_it_goes_nowhere_else_with_its_token(script: Script) -> None:
    """A redirect would show the token to whoever stands at its end; of the password's request as well."""
    script.acts = [[hello()]]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        place = script.url.replace(HOST, "localhost").encode() + b"/ws"
        head = b"HTTP/1.1 301 Moved Permanently\r\nLocation: %s\r\n" % place
        writer.write(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        for who in ({"token": TOKEN}, {"username": "ada", "password": "lovelace"}):
            async with Client(url, **who) as watching:
                with pytest.raises(Denied, match=r"301\. Is .* the right address\?"):
                    await first(watching)
    assert script.came == []


@pytest.mark.parametrize("end", ["\n", " \r\n"])
async def test_a_token_from_a_file_may_end_with_its_line(script: Script, end: str) -> None:
    """`Path.read_text()` brings it along."""
    script.acts = [[hello()]]
    async with Client(script.url, token=TOKEN + end) as watching:
        await first(watching)
    assert script.authorization == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("name", ["token", "refresh"])
@pytest.mark.parametrize("wrong", ["two words", "ümlaut", "a\nb", '"quoted"'])
def test_what_cannot_be_a_token_is_refused_and_not_shown(name: str, wrong: str) -> None:
    """At once: no header could carry it, and the complaint about the header would hold it."""
    with pytest.raises(ValueError, match="A token has letters") as caught:
        Client("http://localhost", **{name: wrong})
    assert wrong not in str(caught.value)


async def test_a_log_holds_no_token(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """Not even at DEBUG, where the WebSocket's library tells its headers and frames."""
    caplog.set_level(logging.DEBUG)
    script.acts = [[hello()]]
    async with client(script) as watching:
        await first(watching)
    assert "Authorization" in caplog.text
    assert TOKEN not in caplog.text
    assert TOKEN.partition(".")[2] not in caplog.text


async def test_what_it_cannot_read_is_told_and_not_passed_over(script: Script) -> None:
    """To come back for ever for the same event would be silence."""
    script.acts = [[hello(), {"type": "task_deleted", "id": 11, "task_id": 7}]]
    async with client(script) as watching:
        events: Callable[[], Any] = watching.watch(TASK, timeout=DEADLINE).__anext__
        await events()
        with pytest.raises(Denied) as caught:
            await events()
    assert caught.value.code == "unreadable"


async def test_a_deadline_is_the_callers(script: Script) -> None:
    """Nothing happens, and the caller is told so in time."""
    script.acts = [[hello()]]
    async with client(script) as watching:
        with pytest.raises(Overdue):
            await watching.wait(TASK, timeout=0.3)
