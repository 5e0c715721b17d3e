"""People who change tasks over HTTP: so web processes commit too, and die in the middle of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

import httpx

from tests.faults.archive import Archive
from tests.faults.checker import Change
from tests.faults.cluster import User
from tests.kit.ports import HOST

#: Answers that a change may get while things die, or when somebody else was first.
EXPECTED = {200, 201, 404, 409, 500, 503}


class Caller:
    """Creates, changes and cancels tasks through any web process, and keeps a journal of what it was told."""

    def __init__(self, users: Sequence[User], ports: Sequence[int], archive: Archive, seed: int) -> None:
        """Call as these users, about the tasks that are active."""
        #: Every change that was confirmed.
        self.journal: list[Change] = []
        self.complaints: list[str] = []
        self._owners = {user.id: user for user in users if not user.view_all}
        self._ports = ports
        self._archive = archive
        self._random = random.Random(seed)

    async def run(self, pace: float) -> None:
        """Make so many calls a second, for ever."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            while True:
                # When it fails nobody can say whether it was committed; the log must know.
                with suppress(httpx.HTTPError):
                    await self._call(client)
                await asyncio.sleep(self._random.expovariate(pace))

    async def _call(self, client: httpx.AsyncClient) -> None:
        task_id, owner = self._random.choice([("", ""), *self._archive.active.items()])
        user = self._owners.get(owner) or self._random.choice([*self._owners.values()])
        message = f"{self._random.randrange(10**9)}"
        if owner != user.id:
            method, page, body = "POST", "", {"name": "called"}
        elif self._random.random() < 0.2:
            method, page, body = "POST", f"{task_id}/cancel/", {}
        else:
            method, page, body = "PATCH", f"{task_id}/", {"message": message}
        address = f"http://{HOST}:{self._random.choice(self._ports)}/api/tasks/{page}"
        headers = {"Authorization": f"Bearer {user.token}"}
        answer = await client.request(method, address, json=body, headers=headers)
        if answer.status_code in (200, 201):
            self.journal.append(self._archive.confirmed(answer.json()))
        elif answer.status_code not in EXPECTED:
            self.complaints.append(f"{method} was answered {answer.status_code}")
