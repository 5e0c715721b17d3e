"""When a stream on tasks is over for good, which 204 says; and what its URL may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import AsyncClient

from realtime import database, log
from realtime.limits import places
from realtime.models import Task
from tests.kit.sse_parser import EventStreamParser
from tests.peers import process_hub
from tests.watching import dying_after_commit, token, when_told

__all__ = ["when_told"]

Users = Callable[..., Any]


async def opened(user: Any, cursor: int | str | None = None, **asked: Any) -> HttpResponseBase:
    """Send a GET for a stream, as an EventSource does that comes back with its cursor."""
    headers = {"Authorization": f"Bearer {token(user)}"}
    if cursor is not None:
        headers["Last-Event-ID"] = str(cursor)
    response: HttpResponseBase = await AsyncClient().get("/events", asked, headers=headers)
    # Its place in the count is given back by the server, when the client leaves; here is neither.
    for place in [*places.open]:
        place.leave()
    return response


async def read(response: Any) -> tuple[list[str], str]:
    """Read a stream to its end; return the names of its events, and the cursor of who has read it."""
    parser = EventStreamParser()
    names = [event.event async for chunk in response.streaming_content for event in parser.feed(chunk)]
    return names, parser.last_event_id


def start_task(owner: Any) -> Task:
    """Create a task that is running."""
    task = Task.objects.create(name="import", owner=owner)
    task.start()
    return task


def delete(task: Task, heir: Any) -> None:
    """Delete the task."""
    Task.objects.get(pk=task.pk).delete()


def give_away(task: Task, heir: Any) -> None:
    """Give the task to somebody else."""
    task.owner = heir
    task.save()


def complete(task: Task, heir: Any) -> None:
    """Bring the task to its end."""
    task.complete()


ENDS = {
    delete: ["task_deleted", "done"],
    give_away: ["task_removed", "done"],
    complete: ["task_update", "done"],
}


@pytest.mark.requirement("S11")
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_an_end_that_waits_for_its_position_is_still_to_be_told(
    engine: str, make_user: Users, end: Callable[[Task, Any], None]
) -> None:
    """No 204 between its commit and its position: an EventSource would stop, and never hear of it."""
    user, heir = await database.run(make_user), await database.run(make_user)
    task = await database.run(start_task, user)
    async with process_hub() as hub:
        cursor: int | str = hub.position

        def end_it() -> None:
            with dying_after_commit(engine):
                end(task, heir)

        await database.run(end_it)
        assert (await opened(user, cursor, task_id=str(task.pk))).status_code == 200
        await hub.check()
        response = await opened(user, cursor, task_id=str(task.pk))
        told, cursor = await read(response)
        assert [name for name in told if name in ENDS[end]] == ENDS[end]
        # Now it has been told, and everything has a position.
        assert (await opened(user, cursor, task_id=str(task.pk))).status_code == 204


@pytest.mark.requirement("S11")
async def test_of_several_tasks_one_that_waits_keeps_the_stream(engine: str, make_user: Users) -> None:
    """204 only if nothing is left of any of them."""
    user = await database.run(make_user)
    over, deleted = await database.run(start_task, user), await database.run(start_task, user)
    await database.run(over.complete)
    async with process_hub() as hub:
        cursor = hub.position

        def end_it() -> None:
            with dying_after_commit(engine):
                delete(deleted, None)

        await database.run(end_it)
        both = [str(over.pk), str(deleted.pk)]
        assert (await opened(user, cursor, task_id=both)).status_code == 200
        assert (await opened(user, cursor, task_id=both[0])).status_code == 204
        await hub.check()
        assert (await opened(user, hub.position, task_id=both)).status_code == 204


@pytest.mark.requirement("S11")
async def test_a_cursor_of_another_log_is_not_over(engine: str, make_user: Users) -> None:
    """It gets its reset, though nothing follows it."""
    user = await database.run(make_user)
    task = await database.run(start_task, user)
    await database.run(task.complete)
    async with process_hub() as hub:
        for cursor in (1, hub.position + 1000, "nonsense"):
            response = await opened(user, cursor, task_id=str(task.pk))
            assert response.status_code == 200
            assert "reset" in (await read(response))[0]


@pytest.mark.requirement("S12")
@pytest.mark.parametrize("what", ["task_id", "topic", "anything"])
async def test_too_many_parameters_are_the_callers_fault(engine: str, make_user: Users, what: str) -> None:
    """400 as JSON, not 503: a client that tries it again would try for ever."""
    user = await database.run(make_user)
    async with process_hub() as hub:
        response: Any = await opened(user, **{what: ["x"] * 1001})
        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/json"
        assert response.json()["code"] == "invalid_parameter"
        assert hub.directory.subscribers == set()
        assert await database.run(log.has_pending) is False
