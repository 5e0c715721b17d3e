"""What is told: in the log's order, all of a burst, nothing rolled back, in times that all can read."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import subprocess
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime.testing.view import View
from tests.flows import Client, Live, told
from tests.kit.waiting import aeventually

RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z")


@pytest.mark.requirement("F2")
async def test_message_ordering(live: Live) -> None:
    """Ids rise, and each task's versions follow one another without a gap, over both transports alike."""
    person = await live.person()
    ids = await live.tasks(person, 10)
    clients = [await live.come(how, View(), person) for how in ("socket", "stream")]
    for client in clients:
        await told(client, "subscribed")
    await live.burst(ids, 20)
    heard = []
    for client in clients:
        for task_id in ids:
            await told(
                client,
                "task_update",
                lambda f, wanted=task_id: f["task_id"] == wanted and f["data"]["message"] == "19",
            )
        heard.append(
            [
                (f["id"], f["task_id"], f["data"]["version"])
                for f in client.frames
                if "data" in f and "id" in f
            ]
        )
        await client.cut()
    assert heard[0] == heard[1]
    positions = [position for position, _, _ in heard[0]]
    assert positions == sorted(set(positions))
    versions = defaultdict(list)
    for _, task_id, version in heard[0]:
        versions[task_id].append(version)
    assert all(found == list(range(2, 22)) for found in versions.values())


@pytest.mark.requirement("F2")
@pytest.mark.parametrize("how", ["socket", "stream"])
async def test_sse_event_buffering(live: Live, how: str) -> None:
    """A burst to a reader that has paused: when it reads again all is there, in order, to the end."""
    person = await live.person()
    task_id = await live.task(person)
    options: dict[str, Any] = {"receive_buffer": 4096}
    client: Client
    if how == "stream":
        client = await live.stream(person, topics=["mine"], **options)
    else:
        client = await live.socket(person, **options)
        await client.send({"action": "subscribe", "topic": "mine"})
    await told(client, "subscribed")
    client.pause()
    await live.run(
        "task = Task.objects.get(pk=pk)\n"
        "for number in range(300):\n"
        "    task.message = f'{number} ' + 'x' * 8000\n"
        "    task.save()\n",
        pk=task_id,
    )
    await live.finish(task_id)
    client.resume()
    await told(client, "task_update", lambda f: f["data"]["status"] == "completed", timeout=20)
    await client.cut()
    numbers = [int(f["data"]["message"].split()[0]) for f in client.frames if f.get("id") and "data" in f]
    assert numbers[:300] == list(range(300))


@pytest.mark.requirement("K12")
@pytest.mark.requirement("F9")
async def test_a_rolled_back_change_is_never_told(clustered: Live) -> None:
    """Nothing of it arrives, not even a hole: the next event has the next position."""
    person = await clustered.person()
    task_id = await clustered.task(person)
    rolled_back = (
        "from django.db import transaction\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        task = Task.objects.get(pk=pk)\n"
        "        task.message = 'never'\n"
        "        task.save()\n"
        "        Task.objects.create(name='never', owner_id=owner)\n"
        "        Task.objects.filter(pk=pk).update(message='never')\n"
        "        raise RuntimeError\n"
        "except RuntimeError:\n"
        "    pass\n"
    )
    async with await clustered.watching(person) as client:
        await clustered.change(task_id, message="before")
        before = await client.wait("task_update", lambda f: f["data"]["message"] == "before")
        await clustered.run(rolled_back, pk=task_id, owner=person.id)
        await clustered.change(task_id, message="after")
        after = await client.wait("task_update", lambda f: f["data"]["message"] == "after")
    assert after["id"] == before["id"] + 1
    assert after["data"]["version"] == before["data"]["version"] + 1
    assert "never" not in json.dumps(client.frames)


def in_javascript(text: str) -> int:
    """The milliseconds `Date.parse` makes of a time in its own format (ECMA-262 §21.4.1.32)."""
    found = RFC3339.fullmatch(text)
    assert found, f"not a time every client reads alike: {text}"
    *fields, milliseconds = map(int, found.groups())
    return int(datetime(*fields, tzinfo=UTC).timestamp()) * 1000 + milliseconds  # type: ignore[arg-type, misc]


@pytest.mark.requirement("K17")
async def test_times_are_equal_in_javascript_and_python(live: Live) -> None:
    """Every time has milliseconds and `Z`; both languages read the same instant, the database's."""
    person = await live.person()
    task_id = await live.task(person)
    async with await live.watching(person) as client:
        await live.finish(task_id)
        final = await client.wait("task_update", lambda f: f["data"]["status"] == "completed")
    names = ("created_at", "updated_at", "started_at", "finished_at")
    times = [final["data"][name] for name in names]
    stamps = [frame["timestamp"] for frame in client.frames]
    python = [datetime.fromisoformat(text) for text in times + stamps]
    assert [in_javascript(text) for text in times + stamps] == [
        round(moment.timestamp() * 1000) for moment in python
    ]
    code = "[t.isoformat() for t in Task.objects.filter(pk=pk).values_list(*names).get()]"
    stored = [datetime.fromisoformat(text) for text in await live.run(code, pk=task_id, names=names)]
    for moment, told_as in zip(stored, python, strict=False):
        assert timedelta() <= moment - told_as < timedelta(milliseconds=1)
    if node := shutil.which("node"):
        script = f"console.log(JSON.stringify({json.dumps(times)}.map(t => Date.parse(t))))"
        done = await asyncio.to_thread(subprocess.run, [node, "-e", script], capture_output=True, check=True)
        assert json.loads(done.stdout) == [in_javascript(text) for text in times]


@pytest.mark.requirement("F8")
async def test_a_storm_of_connections_disturbs_nobody(quick: Live) -> None:
    """Many come and go while tasks change: who stays gets every event, of the others nothing is left."""
    person = await quick.person()
    ids = await quick.tasks(person, 3)
    await quick.census()
    before = await quick.census()
    stayers = [await quick.come(how, View(), person) for how in ("socket", "stream")]
    for client in stayers:
        await told(client, "subscribed")
    working = asyncio.create_task(quick.burst(ids, 40, pause=0.02))

    async def restless() -> None:
        while not working.done():
            client = await quick.come(random.choice(["socket", "stream"]), View(), person)
            if random.random() < 0.5:
                await told(client, "subscribed")
            await random.choice([client.cut, client.close])()

    await asyncio.gather(*(restless() for _ in range(20)))
    await working
    await quick.finish(ids[0])
    for client in stayers:
        await told(client, "task_update", lambda f: f["data"]["status"] == "completed")
        view = View().feed_all(client.frames)
        assert view.violations == []
        assert view.positions == await quick.due(person, client.frames)
        await client.cut()

    async def gone() -> bool:
        after = await quick.census()
        return all(after[what] <= before[what] for what in before)

    await aeventually(gone)
