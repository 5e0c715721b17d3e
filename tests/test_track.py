"""track() around a block: the task ends as the work did, and says whose it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connections, transaction

from realtime import current_task, owned_by, track
from realtime.exceptions import TaskCancelled
from realtime.models import Task, lease
from realtime.tracking.block import LEFT
from tests.reporting import only

pytestmark = pytest.mark.usefixtures("at_once")


def ask_to_stop() -> None:
    """Cancel the one task, as its owner would from a page."""
    Task.objects.get().cancel()


def test_a_block_is_a_task(make_user: Callable[..., Any]) -> None:
    """Running and leased inside, with its owner and steps; completed at its end."""
    user = make_user()
    with track("Import", owner=user, total=4) as task:
        assert (only().status, only().owner, only().total) == ("running", user, 4)
        assert lease._keeper.holds(task)
        assert current_task() is task
        for done in (1, 2, 3):
            task.advance()
            assert (only().done, only().progress) == (done, done * 25)
    assert (only().status, only().done, only().progress) == ("completed", 3, 100)
    assert current_task() is None


def test_an_exception_makes_it_failed_and_goes_on() -> None:
    """The owner is told its kind and no word of it; staff read the traceback."""
    with pytest.raises(ValueError, match="/home/customer"), track("Import"):
        raise ValueError("/home/customer.csv: no such row")
    assert (only().status, only().error) == ("failed", "The work ended with ValueError.")
    assert "no such row" in only().traceback


@pytest.mark.requirement("T10")
def test_a_cancelled_block_stops_at_its_next_report() -> None:
    """With TaskCancelled, which goes on: what follows must not take the work for done."""
    after = False
    with suppress(TaskCancelled), track("Import") as task:
        ask_to_stop()
        task.advance()
        after = True
    assert (only().status, after) == ("cancelled", False)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, asyncio.CancelledError])
def test_who_stops_the_program_cancels_the_work(stop: type[BaseException]) -> None:
    """Nothing went wrong with it; the exception goes on."""
    with pytest.raises(stop), track("Import"):
        raise stop
    assert (only().status, only().error) == ("cancelled", "")


def test_a_generator_that_is_closed_left_its_work() -> None:
    """Nobody tells it why; the end was not reached, so it is not called a success."""

    def rows() -> Iterator[int]:
        with track("Export"):
            yield 1
            yield 2

    running = rows()
    next(running)
    running.close()
    assert (only().status, only().error) == ("failed", LEFT)


@pytest.mark.parametrize(
    ("say", "status", "result"),
    [
        (lambda task: task.complete(result={"rows": 3}), "completed", {"rows": 3}),
        (lambda task: task.fail("No such file."), "failed", None),
        (lambda task: Task.objects.update(status="failed", error="given up"), "failed", None),
        (lambda task: Task.objects.all().delete(), None, None),
    ],
    ids=["complete", "fail", "marked by others", "deleted by others"],
)
def test_what_was_said_of_the_end_stays(say: Callable[[Task], Any], status: str | None, result: Any) -> None:
    """By the block itself or by others; the end of the block takes nothing back, and raises nothing."""
    with track("Import") as task:
        say(task)
    assert list(Task.objects.values_list("status", "result")) == ([(status, result)] if status else [])


def test_a_block_inside_another_is_a_task_of_the_same_user(make_user: Callable[..., Any]) -> None:
    """Unless it says otherwise; each ends for itself, and a cancelled part cancels what it leaves."""
    user = make_user()
    with suppress(TaskCancelled), track("Whole", owner=user) as whole:
        with track("Part") as part:
            assert current_task() is part
        with track("Of nobody", owner=None):
            pass
        assert current_task() is whole
        with track("Stopped") as stopped:
            Task.objects.get(name="Stopped").cancel()
            stopped.advance()
    found = {task.name: (task.status, task.owner) for task in Task.objects.all()}
    assert found == {
        "Whole": ("cancelled", user),
        "Part": ("completed", user),
        "Of nobody": ("completed", None),
        "Stopped": ("cancelled", user),
    }


def test_owned_by_says_whose_the_work_is(make_user: Callable[..., Any]) -> None:
    """For whatever is begun in it; a user or his key; an anonymous visitor owns nothing."""
    user = make_user()
    for owner in (user, user.pk, AnonymousUser()):
        with owned_by(owner), track("Import"):
            pass
    with track("Import"):
        pass
    owners = Task.objects.order_by("created_at").values_list("owner", flat=True)
    assert list(owners) == [user.pk, user.pk, None, None]


def test_inside_a_transaction_nobody_sees_it(
    engine: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and is rolled back with the rest; one around the transaction tells the failure."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 3600}
    with suppress(ZeroDivisionError), transaction.atomic(using=engine), track("Import") as task:
        for _ in range(2000):
            task.advance()
        assert len(connections[engine].run_on_commit) < 100
        raise ZeroDivisionError
    assert not Task.objects.exists()
    assert caplog.text.count("inside atomic()") == 1
    with suppress(ZeroDivisionError), track("Import"), transaction.atomic(using=engine):
        raise ZeroDivisionError
    assert only().status == "failed"


@pytest.mark.usefixtures("own_connections")
async def test_an_async_block_is_a_task() -> None:
    """Its steps are told without holding the loop up, and the last one is not lost."""
    async with track("Import", total=100) as task:
        assert current_task() is task
        for _ in range(60):
            task.advance()
        await task.aadvance(20)
    row = await Task.objects.aget()
    assert (row.status, row.done, current_task()) == ("completed", 80, None)


@pytest.mark.usefixtures("own_connections")
async def test_an_asyncio_task_that_is_cancelled_cancels_the_work() -> None:
    """As at a shutdown."""
    begun = asyncio.Event()

    async def work() -> None:
        async with track("Import"):
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(work())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await Task.objects.aget()).status == "cancelled"
