"""Retry: a finished task's work is asked for again, as a new task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from realtime.events import FINAL, STATUSES
from realtime.exceptions import IllegalTransition
from realtime.models import Task
from tests.journal import journal


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("status", STATUSES)
def test_only_a_finished_task_is_retried(engine: str, status: str) -> None:
    """One that may still succeed is not: nothing is made, and the error says why."""
    task = Task.objects.create(name="import", status=status)
    if status in FINAL:
        assert task.retry().status == "pending"
        return
    with pytest.raises(IllegalTransition, match=f"A {status} task cannot be retried"):
        task.retry()
    assert (Task.objects.count(), len(journal())) == (1, 1)


@pytest.mark.requirement("T1")
def test_a_retry_is_a_new_pending_task_with_its_event(engine: str, make_user: Callable[..., Any]) -> None:
    """It has the name, the owner and the total, nothing of what became of the first; that stays final."""
    owner = make_user()
    failed = Task.objects.create(name="import", owner=owner, total=9)
    failed.start()
    failed.report(done=4, phase="reading", message="slow")
    failed.fail("disk full", traceback="Traceback")
    before = len(journal())
    again = Task.objects.get(pk=failed.retry().pk)
    assert (again.name, again.owner, again.total, again.retry_of) == ("import", owner, 9, failed)
    assert (again.status, again.done, again.progress, again.version) == ("pending", 0, 0, 1)
    assert (again.phase, again.message, again.error, again.traceback, again.result) == ("", "", "", "", None)
    assert (again.started_at, again.finished_at) == (None, None)
    assert Task.objects.get(pk=failed.pk).status == "failed"
    [event] = journal()[before:]
    assert (event.task_id, event.owner) == (str(again.pk), str(owner.pk))
    assert event.data["retry_of"] == str(failed.pk)
    again.start()
    again.complete()
    assert again.retry().retry_of == again


def test_a_retry_outlives_the_task_that_was_retried(engine: str) -> None:
    """Its worker goes on when the same program deletes the first one; it still says whose retry it is."""
    first = Task.objects.create(name="import", status="failed")
    pk, again = first.pk, first.retry()
    first.delete()
    again.start()
    again.report(40)
    again.complete()
    assert Task.objects.get(pk=again.pk).status == "completed"
    assert journal()[-1].data["retry_of"] == str(pk)


def test_the_row_decides_not_the_instance(engine: str, make_user: Callable[..., Any]) -> None:
    """A stale instance retries what the task has become; unsaved changes of it count for nothing."""
    stale = Task.objects.create(name="import")
    heir = make_user()
    Task.objects.update(name="import 2", owner=heir, status="failed")
    stale.total = 5
    again = stale.retry()
    assert (again.name, again.owner, again.total) == ("import 2", heir, None)
    finished = Task.objects.create(name="export", status="running")
    finished.status = "failed"  # never saved
    with pytest.raises(IllegalTransition):
        finished.retry()


def test_a_deleted_task_cannot_be_retried(engine: str) -> None:
    """It is gone, and no task appears in its name; a retry that was made before stays."""
    task = Task.objects.create(name="import", status="failed")
    again = task.retry()
    Task.objects.filter(pk=task.pk).delete()
    with pytest.raises(Task.DoesNotExist):
        task.retry()
    assert Task.objects.get().retry_of_id == again.retry_of_id == task.pk


@pytest.mark.requirement("F9")
def test_a_retry_that_is_rolled_back_was_none(engine: str) -> None:
    """Neither a task nor an event."""
    task = Task.objects.create(name="import", status="cancelled")
    with pytest.raises(RuntimeError), transaction.atomic(using=engine):
        task.retry()
        raise RuntimeError
    assert (Task.objects.count(), len(journal())) == (1, 1)


@pytest.fixture
async def closed_connections() -> AsyncIterator[None]:
    """Async code has database connections in threads of its own."""
    yield
    await sync_to_async(connections.close_all)()


async def test_retry_from_async_code(engine: str, closed_connections: None) -> None:
    """``aretry`` does the same."""
    task = await Task.objects.acreate(name="import", status="failed")
    again = await task.aretry()
    assert (again.status, again.retry_of_id) == ("pending", task.pk)
    with pytest.raises(IllegalTransition):
        await again.aretry()
