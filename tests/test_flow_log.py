"""Lines of a task on real servers: live over each transport, and after a cut each line once."""

from __future__ import annotations

import pytest

from realtime.testing.view import View
from tests.flows import Live, told

TELL = (
    "task = Task.objects.get(pk=pk)\n"
    "for number in range(first, last + 1):\n"
    "    task.log(f'line {number}', level='warning')\n"
    "task._lines.flush()\n"
)


@pytest.mark.requirement("T8")
async def test_the_log_of_a_task_is_followed_without_a_gap(live: Live) -> None:
    """The last lines over HTTP, then live from a worker's process; cut, resumed, to the end of the task."""
    person = await live.person()
    task_id = await live.task(person)
    await live.run(TELL, pk=task_id, first=1, last=3)
    # Who subscribes at a server that is not level yet is told these live as well.
    await live.level()
    views = {"socket": View(), "msgpack": View(), "stream": View()}
    clients = {
        "socket": await live.socket(person),
        "msgpack": await live.socket(person, subprotocols=["realtime.msgpack"]),
        "stream": await live.stream(person, task_ids=[task_id]),
    }
    for how in ("socket", "msgpack"):
        await clients[how].send({"action": "subscribe", "task_id": task_id})
    for client in clients.values():
        await told(client, "subscribed")
    headers = {"Authorization": f"Bearer {person.token}"}
    before = (await live.http("GET", f"/api/tasks/{task_id}/log/", headers=headers)).json()["lines"]
    assert [line["text"] for line in before] == ["line 1", "line 2", "line 3"]
    await live.run(TELL, pk=task_id, first=4, last=6)
    for how, client in clients.items():
        await told(client, "task_log", lambda frame: frame["data"]["number"] == 6)
        await client.cut()
        views[how].feed_all(client.frames)
    await live.run(TELL, pk=task_id, first=7, last=9)
    await live.finish(task_id)
    for how, view in views.items():
        if how == "stream":
            again = await live.stream(person, task_ids=[task_id], last_event_id=view.cursor)
        else:
            again = await live.socket(person, subprotocols=["realtime.msgpack"] if how == "msgpack" else None)
            await again.send(view.resume())
        async with again:
            await told(again, "done")
        view.feed_all(again.frames)
        held = view.logs[task_id]
        assert [(n, held[n]["text"], held[n]["level"]) for n in sorted(held)] == [
            (number, f"line {number}", "warning") for number in range(4, 10)
        ]
        assert view.violations == []
        assert len(view.positions) == len(set(view.positions))
        assert view.finished[task_id]["status"] == "completed"
