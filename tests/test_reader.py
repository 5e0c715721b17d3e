"""What streams ask of the database is asked once for all of them, and however much it is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from realtime import database, snapshots
from realtime.events import Viewer
from realtime.models import Task
from realtime.reader import Reader
from tests.watching import log_updates, no_turns


@pytest.mark.requirement("F4")
def test_more_ids_than_a_query_can_hold(engine: str) -> None:
    """A site's whole crowd coming back at once: found in batches, on every database."""
    tasks = [Task.objects.create(name="import") for _ in range(3)]
    known = [str(task.pk) for task in tasks]
    unknown = [str(uuid.uuid4()) for _ in range(40_000)]
    position, states = snapshots.load_states(
        [known[0], *unknown[:20_000], known[1], *unknown[20_000:], known[2]]
    )
    assert sorted(states) == sorted(known)
    assert snapshots.BATCH < 999, "the least number of values that any SQLite takes in a query"
    assert position >= max(state.last for state in states.values())


@pytest.mark.requirement("F4")
async def test_many_streams_share_a_lookup_of_any_size(engine: str) -> None:
    """Each gets its own tasks, out of queries that they share."""
    tasks = await database.run(lambda: [Task.objects.create(name="import") for _ in range(20)])
    reader = Reader()
    asked = [[str(task.pk), *(str(uuid.uuid4()) for _ in range(500))] for task in tasks]
    async with no_turns():
        lookups = [asyncio.create_task(reader.states(ids)) for ids in asked]
        await asyncio.sleep(0)
    found = await asyncio.gather(*lookups)
    assert [[*states.tasks] for states in found] == [ids[:1] for ids in asked]
    assert len({states.position for states in found}) == 1


@pytest.mark.requirement("P7")
def test_the_number_of_queries_grows_by_batches(engine: str) -> None:
    """Two for every 500 tasks, and one for the position."""
    with CaptureQueriesContext(connections[engine]) as queries:
        snapshots.load_states([str(uuid.uuid4()) for _ in range(5 * snapshots.BATCH)])
    assert len(queries) <= 1 + 2 * 5


@pytest.mark.requirement("F4")
async def test_a_page_is_read_once_for_all_who_want_it(engine: str) -> None:
    """One goes away meanwhile: the others get theirs."""
    await database.run(log_updates, "1", 5)
    reader = Reader()
    viewer = Viewer("1")
    async with no_turns():
        asking = [asyncio.create_task(reader.page(0, ("mine:1",), viewer, 0)) for _ in range(10)]
        await asyncio.sleep(0)
        asking[0].cancel()
    pages: list[Any] = await asyncio.gather(*asking[1:])
    assert all(page is pages[0] for page in pages)
    assert len(pages[0].events) == 5


@pytest.mark.requirement("W12")
async def test_a_page_is_not_shared_between_users(engine: str, make_user: Callable[..., Any]) -> None:
    """The same keys at the same cursor are another page for another viewer."""
    await database.run(log_updates, "1", 5)
    reader = Reader()
    viewers = [Viewer("1"), Viewer("2"), Viewer("2", view_all=True)]
    pages = await asyncio.gather(*[reader.page(0, ("tasks",), viewer, 0) for viewer in viewers])
    assert [len(page.events) for page in pages] == [5, 0, 5]
