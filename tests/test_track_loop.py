"""track() around the rows of a loop: each is a step, and however it is left, the task says so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connections, transaction

from realtime import current_task, owned_by, track
from realtime.current import current_owner
from realtime.exceptions import TaskCancelled
from realtime.models import Task
from realtime.tracking.block import LEFT
from tests.kit.waiting import aeventually
from tests.reporting import only

pytestmark = pytest.mark.usefixtures("at_once")


async def ended(name: str) -> bool:
    """Whether the task of that name has failed."""
    return await Task.objects.filter(name=name, status="failed").aexists()


def test_each_row_is_a_step(make_user: Callable[..., Any]) -> None:
    """The total is len(); a row is done when the loop comes back for the next."""
    user, seen = make_user(), []
    for row in track(["a", "b", "c", "d"], "Import", owner=user):
        seen.append((row, only().done, only().progress, current_task() is not None))
    assert seen == [("a", 0, 0, True), ("b", 1, 25, True), ("c", 2, 50, True), ("d", 3, 75, True)]
    task = only()
    assert (task.status, task.owner, task.done, task.total) == ("completed", user, 4, 4)
    assert current_task() is None


def test_rows_without_a_length_have_no_total_but_one_that_is_said() -> None:
    """A generator cannot tell; nothing of nothing is completed too."""
    for rows, total in ((iter("ab"), None), (iter("ab"), 2), ("", None)):
        for _ in track(rows, "Import", total=total):
            pass
    found = Task.objects.order_by("created_at").values_list("status", "done", "total")
    assert list(found) == [("completed", 2, None), ("completed", 2, 2), ("completed", 0, 0)]


def test_a_queryset_is_fetched_once(make_user: Callable[..., Any], engine: str) -> None:
    """For its length and for the loop."""
    user = make_user()
    users = get_user_model().objects.all()
    assert list(track(users, "Mail")) == [user]
    assert (only().done, only().total) == (1, 1)


def test_an_exception_of_the_rows_is_named() -> None:
    """It passes through the loop itself."""

    def rows() -> Iterator[int]:
        yield 1
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "customer 7")

    with pytest.raises(UnicodeDecodeError):
        list(track(rows(), "Import"))
    assert (only().status, only().error) == ("failed", "The work ended with UnicodeDecodeError.")


def test_a_loop_alone_that_is_left_early_is_failed() -> None:
    """By an exception of its body or by break: it cannot tell which, and never calls half the work done."""
    with suppress(ZeroDivisionError):
        for number in track([1, 0, 1], "By an exception"):
            assert 1 / number
    for _ in track([1, 2], "By break"):
        break
    assert set(Task.objects.values_list("status", "error")) == {("failed", LEFT)}
    assert Task.objects.count() == 2
    assert current_task() is None


def test_in_a_block_an_exception_is_named_and_break_completes() -> None:
    """There it can tell."""
    with pytest.raises(ZeroDivisionError), track([1, 0, 1], "Fails") as numbers:
        for number in numbers:
            assert 1 / number
    with track([1, 2, 3], "Finds") as numbers:
        for number in numbers:
            if number == 2:
                break
    found = dict(Task.objects.values_list("name", "error"))
    assert found == {"Fails": "The work ended with ZeroDivisionError.", "Finds": ""}
    assert Task.objects.get(name="Finds").done == 1


def test_a_loop_may_end_its_task_itself() -> None:
    """What it says stays, break or not."""
    for _ in track([1, 2], "Search"):
        task = current_task()
        assert task is not None
        task.complete(result="found")
        break
    assert (only().status, only().result) == ("completed", "found")


@pytest.mark.requirement("T10")
def test_a_cancelled_loop_raises_where_it_stands() -> None:
    """At the next written step; the rest of the rows is not touched."""
    seen = []
    with pytest.raises(TaskCancelled):
        for row in track("abc", "Import"):
            seen.append(row)
            only().cancel()
    assert (only().status, seen) == ("cancelled", ["a"])


def test_commit_every_shows_each_chunk_and_keeps_it(engine: str) -> None:
    """Rows of a chunk are one transaction; what fails takes back its own chunk and no other."""
    users = get_user_model().objects
    shown = []
    with pytest.raises(ZeroDivisionError):
        for number in track(range(7), "Import", commit_every=3, using=engine):
            assert connections[engine].in_atomic_block
            users.create_user(f"row {number}")
            shown.append(only().done)
            if number == 5:
                raise ZeroDivisionError
    assert shown == [0, 0, 0, 3, 3, 3]
    assert (only().status, only().done, users.count()) == ("failed", 3, 3)
    assert not connections[engine].in_atomic_block


def test_commit_every_reads_a_server_side_cursor_across_its_commits(engine: str) -> None:
    """Rows are fetched between the transactions: a cursor would end with the one it began in."""
    users = get_user_model().objects
    users.bulk_create([get_user_model()(username=f"user {number}") for number in range(5)])
    found = users.order_by("pk").iterator(chunk_size=1)
    assert len(list(track(found, "Mail", commit_every=2, using=engine))) == 5
    assert (only().status, only().done) == ("completed", 5)


def test_commit_every_inside_a_transaction_is_refused(engine: str) -> None:
    """It could commit nothing."""
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(using=engine):
        list(track("abc", "Import", commit_every=2, using=engine))


@pytest.mark.usefixtures("own_connections")
async def test_an_async_loop_goes_through_either_kind_of_rows() -> None:
    """Async ones and plain ones; its steps hold no loop up, and the last one is there at the end."""

    async def rows() -> AsyncIterator[int]:
        for number in range(300):
            yield number

    assert [row async for row in track(rows(), "Async", total=300)] == list(range(300))
    assert [row async for row in track("abc", "Plain")] == ["a", "b", "c"]
    found = [row async for row in Task.objects.order_by("name").values_list("status", "done", "total")]
    assert found == [("completed", 300, 300), ("completed", 3, 3)]
    with pytest.raises(TypeError, match="commit_every"):
        [row async for row in track("abc", "Plain", commit_every=2)]


@pytest.mark.usefixtures("own_connections")
async def test_an_async_loop_that_is_left_is_failed() -> None:
    """Alone; in a block, break completes."""
    loop = track("abc", "Alone").__aiter__()
    async for _ in loop:
        break
    await loop.aclose()  # type: ignore[attr-defined]
    async with track("abc", "In a block") as rows:
        async for _ in rows:
            break
    found = [row async for row in Task.objects.order_by("name").values_list("name", "status")]
    assert found == [("Alone", "failed"), ("In a block", "completed")]


@pytest.mark.parametrize("how", ["break", "exception"])
@pytest.mark.usefixtures("own_connections")
async def test_what_follows_an_async_loop_that_was_left_is_not_its_task_s(
    how: str, make_user: Callable[..., Any]
) -> None:
    """At once, and when the event loop has closed the generator: the next task has no owner of this one's."""
    user = await sync_to_async(make_user)()
    with suppress(ZeroDivisionError):
        async for _ in track("abc", "Left", owner=user):
            if how == "break":
                break
            raise ZeroDivisionError
    assert (current_task(), current_owner()) == (None, None)
    async with track("Next") as task:
        assert (task.owner_id, current_task()) == (None, task)
        await aeventually(partial(ended, "Left"))
    assert (current_task(), current_owner()) == (None, None)


@pytest.mark.usefixtures("own_connections")
async def test_a_block_in_a_generator_that_was_left_is_over_when_it_has_ended(
    make_user: Callable[..., Any],
) -> None:
    """The event loop closes the generator in a copy of the context; what goes on around it stays."""
    user, around = await sync_to_async(make_user)(), await sync_to_async(make_user)()

    async def rows() -> AsyncIterator[str]:
        async with track("Left", owner=user):
            for row in "abc":
                yield row

    with owned_by(around):
        async for _ in rows():
            break
        await aeventually(partial(ended, "Left"))
        assert (current_task(), current_owner()) == (None, around.pk)
        async with track("Next") as task:
            assert task.owner_id == around.pk
    assert current_owner() is None


def test_a_step_costs_little(settings: Any) -> None:
    """A hundred thousand steps are a few writes, some microseconds a step on any machine."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0.25}
    started = time.perf_counter()
    for _ in track(range(100_000), "Count"):
        pass
    assert time.perf_counter() - started < 10
    assert (only().done, only().version < 40) == (100_000, True)
