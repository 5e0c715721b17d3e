"""Writers of the same tasks lock them in one order, so that none of them kills another."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.db import connections, transaction

from realtime import log
from realtime.models import Event, Task
from realtime.models.queryset import TaskQuerySet
from tests.kit.threads import in_thread, open_transaction, together
from tests.kit.waiting import eventually

Write = Callable[[TaskQuerySet], object]

WAITING = (
    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def update(tasks: TaskQuerySet) -> object:
    """Change every one of them."""
    return tasks.update(message="changed")


def delete(tasks: TaskQuerySet) -> object:
    """Delete every one of them."""
    return tasks.delete()


def some_tasks(count: int) -> list[uuid.UUID]:
    """Create tasks; return their ids, lowest first."""
    Task.objects.bulk_create([Task(name="import") for _ in range(count)])
    return list(Task.objects.order_by("pk").values_list("pk", flat=True))


def somebody_waits(using: str) -> bool:
    """Tell whether a transaction waits for a lock of another."""
    with connections[using].cursor() as cursor:
        cursor.execute(WAITING)
        return bool(cursor.fetchone()[0])


@pytest.mark.requirement("F9")
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
@pytest.mark.parametrize("write", [update, delete])
@pytest.mark.parametrize("order", ["pk", "-pk", "?"])
def test_rows_are_locked_from_the_lowest(engine: str, write: Write, order: str) -> None:
    """Whoever waits for the lowest row holds none of the others, in whatever order they were named."""
    ids = some_tasks(20)

    def lock(pk: uuid.UUID) -> object:
        return Task.objects.select_for_update(nowait=True).get(pk=pk)

    with open_transaction(engine, lambda: lock(ids[0])) as release:
        waiting = in_thread(lambda: write(Task.objects.order_by(order)))
        eventually(lambda: somebody_waits(engine))
        with transaction.atomic(using=engine):
            for pk in ids[1:]:
                lock(pk)
        release()
        waiting.result(20)


@pytest.mark.requirement("F9")
@pytest.mark.parametrize(("one", "other"), [(update, update), (update, delete), (delete, delete)])
def test_two_writers_in_opposite_orders(engine: str, one: Write, other: Write) -> None:
    """Both end, again and again, and every change is an event."""
    for _ in range(5):
        some_tasks(30)
        before = log.position()
        together(
            lambda: one(Task.objects.order_by("pk")),
            lambda: other(Task.objects.order_by("-pk")),
        )
        kinds = Event.objects.filter(position__gt=before).values_list("kind", flat=True)
        deleted = [kind for kind in kinds if kind == "task_deleted"]
        assert len(deleted) == (30 if delete in (one, other) else 0)
        Task.objects.all().delete()


@pytest.mark.requirement("F9")
def test_a_delete_and_saves_of_the_same_tasks(engine: str) -> None:
    """A worker that saves them from the last to the first is not killed by the one who deletes them."""
    ids = some_tasks(15)
    tasks = list(Task.objects.filter(pk__in=ids).order_by("-pk"))

    def save_each() -> None:
        for task in tasks:
            Task.objects.filter(pk=task.pk).update(message="changed")

    together(save_each, lambda: Task.objects.order_by("pk").delete())
    assert not Task.objects.exists()
