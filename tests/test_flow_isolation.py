"""Another user's task, tried through every door: nothing of it comes out, not even that it exists."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from tests.flows import Live, Person, told
from tests.kit.raw_socket import TEXT, RawSocket

SECRET = "the merger with Initech"


async def a_secret(live: Live) -> tuple[Person, str, str]:
    """A stranger, somebody else's task, and an id that is no task's."""
    stranger, owner = await live.person(), await live.person()
    return stranger, await live.task(owner, name=SECRET), str(uuid.uuid4())


def masked(text: str, task_id: str) -> str:
    """The text without the task's id and without times."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text.replace(task_id, "ID"))


@pytest.mark.requirement("K1")
@pytest.mark.requirement("W12")
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"task_id": "FOREIGN"}, "not_found"),
        ({"task_ids": ["FOREIGN"]}, "not_found"),
        ({"task_ids": ["OWN", "FOREIGN"]}, "not_found"),
        ({"topic": "tasks"}, "forbidden"),
        ({"topics": ["tasks", "mine"], "task_id": "FOREIGN"}, "forbidden"),
    ],
    ids=str,
)
async def test_a_socket_never_tells_of_a_foreign_task(live: Live, asked: dict[str, Any], code: str) -> None:
    """A subscribe to another user's task, or to all tasks, gets `error`; what else it asks for is served."""
    stranger, foreign, _ = await a_secret(live)
    own = await live.task(stranger, name="my own")
    words = json.dumps(asked).replace("FOREIGN", foreign).replace("OWN", own)
    async with await live.socket(stranger) as client:
        await client.send({"action": "subscribe", **json.loads(words)})
        assert (await client.wait("error"))["code"] == code
        await live.change(foreign, message=SECRET)
        await live.change(own, message="seen?")
        await client.send({"action": "subscribe", "topic": "mine"})
        await client.wait("task_update", lambda f: f["data"]["message"] == "seen?")
        await client.ping()
    assert SECRET not in json.dumps(client.frames)


@pytest.mark.requirement("K1")
async def test_a_resume_never_replays_a_foreign_task(live: Live) -> None:
    """`after` and `Last-Event-ID` open no door: the foreign subscription ends as `not_found`."""
    stranger, foreign, unknown = await a_secret(live)
    async with await live.watching(stranger) as client:
        cursor = (await client.ping())["id"]
    await live.burst([foreign], 3)
    async with await live.socket(stranger) as client:
        await client.send({"action": "subscribe", "task_ids": [foreign, unknown], "after": cursor})
        gone = await client.wait("unsubscribed")
        subscribed = await client.wait("subscribed")
    assert (sorted(gone["task_ids"]), gone["reason"]) == (sorted([foreign, unknown]), "not_found")
    assert subscribed["task_ids"] == []
    assert SECRET not in json.dumps(client.frames)
    async with await live.stream(stranger, task_ids=[foreign], last_event_id=cursor) as stream:
        await stream.wait_closed()
    assert stream.status in (200, 204)
    assert SECRET not in json.dumps(stream.frames)


@pytest.mark.requirement("K1")
@pytest.mark.requirement("S12")
async def test_a_stream_never_tells_of_a_foreign_task(live: Live) -> None:
    """404 for another user's task, 403 for all tasks, before any stream begins."""
    stranger, foreign, _ = await a_secret(live)
    own = await live.task(stranger)
    for asked, status in [
        ({"task_ids": [foreign]}, 404),
        ({"task_ids": [own, foreign]}, 404),
        ({"topics": ["tasks"]}, 403),
        ({"topics": ["mine", "tasks"]}, 403),
    ]:
        async with await live.stream(stranger, **asked) as stream:
            await stream.wait_closed()
        assert stream.status == status
        assert stream.headers["content-type"] == "application/json"
        assert SECRET.encode() not in stream.body


@pytest.mark.requirement("K1")
async def test_who_may_view_all_tasks_sees_them_through_every_door(live: Live) -> None:
    """The permission `realtime.view_task` opens both doors to everybody's tasks, and nothing less does."""
    owner, auditor = await live.person(), await live.person("realtime.view_task")
    task_id = await live.task(owner, name=SECRET)
    socket = await live.watching(auditor, topic="tasks", task_id=task_id)
    stream = await live.stream(auditor, topics=["tasks"])
    await told(stream, "subscribed")
    await live.change(task_id, message="audited")
    for client in (socket, stream):
        await told(client, "task_update", lambda f: f["data"]["message"] == "audited")
        await client.cut()


@pytest.mark.requirement("W12")
async def test_unknown_and_forbidden_look_the_same(live: Live) -> None:
    """Byte for byte but for ids and times, over the socket and over HTTP."""
    stranger, foreign, unknown = await a_secret(live)
    answers: list[list[str]] = []
    for task_id in (foreign, unknown):
        frames = []
        async with await RawSocket.connect(live.server, stranger.token) as raw:
            await raw.read_until(TEXT)
            for action in ("subscribe", "unsubscribe"):
                await raw.write(TEXT, json.dumps({"action": action, "task_id": task_id}).encode())
                frame = await raw.read_until(TEXT)
                frames.append(re.sub(r'"position":\d+', "", masked(frame.payload.decode(), task_id)))
        answer = await live.http(
            "GET",
            "/events",
            params={"task_id": task_id},
            headers={"Authorization": f"Bearer {stranger.token}"},
        )
        headers = sorted((name, value) for name, value in answer.headers.items() if name != "date")
        answers.append([*frames, str(answer.status_code), str(headers), masked(answer.text, task_id)])
    assert answers[0] == answers[1]


@pytest.mark.requirement("K1")
async def test_a_task_given_away_is_removed_and_told_of_no_more(live: Live) -> None:
    """The previous owner gets `task_removed` and nothing after it; the new one gets the task."""
    giver, taker = await live.person(), await live.person()
    task_id = await live.task(giver, name="handover")
    one, other = await live.watching(giver), await live.watching(taker)
    await live.change(task_id, owner_id=taker.id)
    removed = await one.wait("task_removed")
    given = await other.wait("task_update", lambda f: f["task_id"] == task_id)
    assert removed["id"] == given["id"]
    await live.change(task_id, message=SECRET)
    await other.wait("task_update", lambda f: f["data"]["message"] == SECRET)
    await one.ping()
    assert SECRET not in json.dumps(one.frames)
    for client in (one, other):
        await client.cut()
