"""Broadcasts sent over HTTP, and what of them a client has heard."""

from __future__ import annotations

from typing import Any

from tests.flows import Client, Live, Person

MAY = "realtime.add_broadcast"


def bearer(person: Person) -> dict[str, str]:
    """The header with which a program comes."""
    return {"Authorization": f"Bearer {person.token}"}


async def post(live: Live, sender: Person, **body: Any) -> dict[str, Any]:
    """Send a broadcast; return the answer."""
    answer = await live.http("POST", "/broadcast", json=body, headers=bearer(sender))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def heard(client: Client) -> list[str]:
    """The texts of all broadcasts the client has received."""
    return [frame["message"]["message"] for frame in client.frames if frame["type"] == "broadcast"]
