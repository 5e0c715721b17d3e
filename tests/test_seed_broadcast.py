"""The first documents' broadcast in Python, run as it was written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.flows import Live, told

BROADCAST = """
import httpx

response = httpx.post(
    "http://localhost:8000/broadcast",
    json={
        "type": "announcement",
        "message": "System maintenance in 10 minutes"
    },
    headers={"Authorization": f"Bearer {token}"}
)
"""


@pytest.mark.requirement("C1")
async def test_the_broadcast_example(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written: it reaches the open socket and the open stream, and the answer counts them."""
    monkeypatch.setenv("NO_PROXY", "*")
    sender, other = await live.person("realtime.add_broadcast"), await live.person()
    async with await live.socket(other) as socket, await live.stream(other) as stream:
        await stream.wait("subscribed")
        code = BROADCAST.replace("localhost:8000", f"localhost:{live.server.port}")
        names: dict[str, Any] = {"token": sender.token}
        await asyncio.to_thread(exec, code, names)
        answer = names["response"]
        assert answer.is_success, answer.text
        for client in (socket, stream):
            frame = await told(client, "broadcast")
            assert frame["message"]["type"] == "announcement"
            assert frame["message"]["message"] == "System maintenance in 10 minutes"
    assert {"status", "message", "recipient_count"} <= answer.json().keys()
    assert answer.json()["recipient_count"] >= 2
    # Others use this server too, and would be told of it for an hour.
    path, headers = f"/broadcast/{answer.json()['id']}", {"Authorization": f"Bearer {sender.token}"}
    assert (await live.http("DELETE", path, headers=headers)).is_success
