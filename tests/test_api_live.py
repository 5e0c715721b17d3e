"""The API on real servers: what a socket is told, a poll is told; and bodies as they come over a wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.flows import Live, Person

LIMIT = 2_621_440  # Django's own DATA_UPLOAD_MAX_MEMORY_SIZE


async def call(live: Live, who: Person, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request as that person."""
    headers = {"Authorization": f"Bearer {who.token}", **options.pop("headers", {})}
    return await live.http(method, path, headers=headers, timeout=30, **options)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """A body that is sent in chunks, and whose length no header tells."""
    for part in parts:
        yield part


def body(size: int) -> bytes:
    """A new task in exactly so many bytes."""
    empty = json.dumps({"name": "x", "message": ""}).encode()
    return json.dumps({"name": "x", "message": "m" * (size - len(empty))}).encode()


async def test_a_poll_tells_what_a_socket_tells(live: Live) -> None:
    """The same frames with the same ids, of everything a remote worker does over HTTP."""
    ann = await live.person()
    async with await live.watching(ann) as socket:
        made = (await call(live, ann, "POST", "/api/tasks/", json={"name": "import", "total": 4})).json()
        path = f"/api/tasks/{made['task_id']}/"
        for told in ({"status": "running"}, {"done": 1}, {"done": 4, "status": "completed", "result": [1]}):
            assert (await call(live, ann, "PATCH", path, json=told)).status_code == 200
        await call(live, ann, "POST", f"{path}retry/")
        await call(live, ann, "DELETE", path)
        await socket.wait("task_deleted")
    seen = [frame for frame in socket.frames if frame["type"].startswith("task_")]
    polled = (await call(live, ann, "GET", f"/api/events/?after={made['position']}")).json()
    assert polled["events"] == seen
    assert len(seen) == 6


async def test_an_answer_and_a_stream_fit_together(live: Live) -> None:
    """Who reads over HTTP and resumes a stream after its `position` misses nothing."""
    ann = await live.person()
    task_id = await live.task(ann)
    held = (await call(live, ann, "GET", f"/api/tasks/{task_id}/")).json()
    await live.change(task_id, status="running", message="missed")
    async with await live.stream(ann, topics=["mine"], last_event_id=str(held["position"])) as stream:
        frame = (await stream.wait("task_update", lambda e: e.json["data"]["message"] == "missed")).json
    assert frame["id"] > held["position"]
    assert frame["data"]["version"] == held["version"] + 1


@pytest.mark.requirement("T10")
async def test_a_remote_worker_hears_of_the_cancel(live: Live) -> None:
    """Its next report is refused; it says that it has stopped, and everybody knows."""
    ann = await live.person()
    task_id = await live.task(ann, status="running")
    path = f"/api/tasks/{task_id}/"
    assert (await call(live, ann, "POST", f"{path}cancel/")).status_code == 200
    refused = await call(live, ann, "PATCH", path, json={"done": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "task_cancelled")
    async with await live.watching(ann, task_id=task_id) as socket:
        await call(live, ann, "PATCH", path, json={"status": "cancelled"})
        last = await socket.wait("task_update", lambda frame: "id" in frame)
    assert last["data"]["status"] == "cancelled"


async def test_a_body_in_chunks_counts(live: Live) -> None:
    """Though no header says how long it is: it is read, and it is too big where it is too big."""
    ann = await live.person()
    whole = body(200)
    for content in (chunks(whole[:50], whole[50:]), whole):
        answer = await call(live, ann, "POST", "/api/tasks/", content=content, headers=JSON)
        assert answer.status_code == 201, answer.text
    too_big = body(LIMIT + 1)
    for content in (chunks(too_big[:LIMIT], too_big[LIMIT:]), too_big):
        answer = await call(live, ann, "POST", "/api/tasks/", content=content, headers=JSON)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_big")
    assert (await call(live, ann, "POST", "/api/tasks/", content=chunks(), headers=JSON)).status_code == 400


JSON = {"Content-Type": "application/json"}
