"""The event stream: its headers, its first and last words, and what is answered instead of one."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.flows import Live, told
from tests.messages import checked


@pytest.mark.requirement("S1")
async def test_sse_content_type(live: Live) -> None:
    """The headers say what it is, that nobody may store, change or hold it back, and no length."""
    async with await live.stream(await live.person()) as stream:
        await stream.wait("connected")
    assert stream.status == 200
    assert stream.headers["content-type"].replace(" ", "").lower() in (
        "text/event-stream",
        "text/event-stream;charset=utf-8",
    )
    assert stream.headers["cache-control"] == "no-cache, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["content-encoding"] == "identity"
    assert "content-length" not in stream.headers


@pytest.mark.requirement("S1")
async def test_gzip_middleware_does_not_touch_the_stream(quick: Live) -> None:
    """Behind GZipMiddleware, and asked for gzip, events still arrive one by one and plain."""
    person = await quick.person()
    task_id = await quick.task(person)
    accept = {"Accept-Encoding": "gzip, deflate, br"}
    page = await quick.http("GET", "/accounts/login/", headers=accept)
    assert page.headers["content-encoding"] == "gzip"  # the middleware is at work
    async with await quick.stream(person, headers=accept) as stream:
        await stream.wait("subscribed")
        await quick.burst([task_id], 2)
        await stream.wait("task_update", lambda event: event.json["data"]["message"] == "1")
    assert stream.headers["content-encoding"] == "identity"


@pytest.mark.requirement("S8")
async def test_sse_metadata_event(live: Live) -> None:
    """The first event is `connected`: connection, user, server time, protocol, heartbeat, position."""
    person = await live.person()
    async with await live.stream(person) as stream:
        await stream.wait("subscribed")
    first = stream.events[0]
    assert first.event == checked(first.json) == "connected"
    assert first.json["user_id"] == str(person.id)
    assert first.json["heartbeat_interval"] == 15
    assert first.id is None


@pytest.mark.requirement("S4")
@pytest.mark.requirement("S5")
@pytest.mark.requirement("S11")
async def test_a_finished_task_ends_the_stream(live: Live) -> None:
    """Last state, `done`, end; `retry` only on the first and the terminal event; ids never fall; then 204."""
    person = await live.person()
    ids = await live.tasks(person, 2)
    async with await live.stream(person, task_ids=ids) as stream:
        await stream.wait("subscribed")
        await live.burst(ids, 2)
        await live.finish(ids[0])
        await stream.wait("done")
        assert not stream.closed
        await live.finish(ids[1])
        await stream.wait_closed()
    assert stream.ended
    assert [event.event for event in stream.events[-2:]] == ["task_update", "done"]
    for event in stream.events:
        final = event.event == "task_update" and event.json["data"]["status"] == "completed"
        assert event.retry == (5000 if event.event == "connected" or final else None)
    positions = [int(event.id) for event in stream.events if event.id]
    assert positions == sorted(positions)
    assert all(event.id == str(event.json["id"]) for event in stream.events if event.id)
    async with await live.stream(person, task_ids=ids, last_event_id=stream.last_event_id) as again:
        await again.wait_closed()
    assert (again.status, again.body) == (204, b"")


@pytest.mark.requirement("S11")
async def test_a_task_that_is_finished_already_is_told_once(live: Live) -> None:
    """A fresh stream of a finished task: its state, `subscribed`, `done`, end."""
    person = await live.person()
    task_id = await live.task(person)
    await live.finish(task_id)
    async with await live.stream(person, task_ids=[task_id]) as stream:
        await stream.wait_closed()
    assert [e.event for e in stream.events] == ["connected", "task_update", "subscribed", "done"]
    assert stream.ended


@pytest.mark.requirement("S9")
@pytest.mark.parametrize(
    ("asked", "topics", "count"),
    [
        ({}, {"mine"}, 0),
        ({"topics": ["mine"]}, {"mine"}, 0),
        ({"topics": ["broadcasts"]}, set(), 0),
        ({"task_ids": 2}, set(), 2),
        ({"task_ids": 1, "topics": ["mine", "broadcasts"]}, {"mine"}, 1),
    ],
    ids=str,
)
async def test_protocol_selection(live: Live, asked: dict[str, Any], topics: set[str], count: int) -> None:
    """`task_id` and `topic` choose, each may repeat, neither means `mine`."""
    person = await live.person()
    ids = await live.tasks(person, count)
    if count:
        asked = {**asked, "task_ids": ids}
    async with await live.stream(person, **asked) as stream:
        subscribed = (await stream.wait("subscribed")).json
    assert set(subscribed["task_ids"]) == set(ids)
    assert set(subscribed["topics"]) - {"broadcasts"} == topics


@pytest.mark.requirement("S10")
async def test_an_unchanged_task_is_not_sent_again(live: Live) -> None:
    """An update comes on change; a save that changes nothing sends nothing."""
    person = await live.person()
    task_id = await live.task(person, message="same")
    async with await live.watching(person) as client:
        await live.run("for _ in range(3): Task.objects.get(pk=pk).save()", pk=task_id)
        await live.change(task_id, message="other")
        await told(client, "task_update", lambda f: f["data"]["message"] == "other")
    live_updates = [f for f in client.frames if f["type"] == "task_update" and "id" in f]
    assert [f["data"]["message"] for f in live_updates] == ["other"]


@pytest.mark.requirement("S12")
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("task_id=nonsense", 400, "invalid_parameter"),
        ("task_id=", 400, "invalid_parameter"),
        ("topic=everything", 400, "invalid_parameter"),
        (f"task_id={uuid.uuid4()}", 404, "not_found"),
        ("topic=tasks", 403, "forbidden"),
        ("&".join(f"task_id={uuid.uuid4()}" for _ in range(129)), 429, "too_many_subscriptions"),
    ],
    ids=["no-uuid", "empty", "topic", "unknown", "tasks", "too-many"],
)
async def test_a_refusal_is_json_before_the_stream(live: Live, query: str, status: int, code: str) -> None:
    """An error has its HTTP status and says in JSON what is wrong, whatever the client accepts."""
    person = await live.person()
    async with await live.stream(person, path=f"/events?{query}") as stream:
        await stream.wait_closed()
    assert stream.status == status
    assert stream.headers["content-type"] == "application/json"
    assert stream.json()["code"] == code
    assert stream.json()["message"]


@pytest.mark.requirement("S12")
async def test_only_get_opens_a_stream(live: Live) -> None:
    """Another method gets 405 and is told which one is allowed."""
    headers = {"Authorization": f"Bearer {(await live.person()).token}", "Accept": "text/event-stream"}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await live.http(method, "/events", headers=headers)
        assert (answer.status_code, answer.headers.get("allow")) == (405, "GET")
        assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.requirement("S12")
async def test_protocol_content_types(live: Live) -> None:
    """`/events` is a stream whatever is accepted; the tokens are JSON; `/ws` is no page."""
    token = (await live.person()).token
    for accept in ("text/event-stream", "*/*", "application/json", ""):
        async with await live.stream(await live.person(), headers={"Accept": accept}) as stream:
            await stream.wait("connected")
        assert stream.status == 200
    answer = await live.http("POST", "/api/token/", json={"username": "nobody", "password": "x"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/json")
    answer = await live.http("GET", "/ws", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 404
