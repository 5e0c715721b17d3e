"""How much of a task's log is kept: of a line, of a task, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from realtime.models import Event, Task, TaskLog
from tests.journal import journal
from tests.line_journal import options, stored, told

__all__ = ["options"]

pytestmark = pytest.mark.requirement("T8")


@pytest.fixture
def task(engine: str, options: Callable[..., None]) -> Task:
    """A running task."""
    return Task.objects.create(name="import", status="running")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_long_line_is_cut(task: Task, options: Callable[..., None]) -> None:
    """At 10,000 characters, and says so; in an event further if it must, and is whole over HTTP."""
    options(MAX_EVENT_SIZE=1024)
    task.log("x" * 1_000_000)
    task.log("y" * 2000)
    task.log("z" * 500)
    rows = list(TaskLog.objects.order_by("number"))
    assert [(len(row.text), row.truncated) for row in rows] == [(10_000, True), (2000, False), (500, False)]
    lines = [event.data for event in journal() if event.kind == "task_log"]
    assert [line.get("truncated", False) for line in lines] == [True, True, False]
    assert all(100 < len(line["text"]) < 1024 for line in lines)


def test_the_newest_lines_are_kept(task: Task, options: Callable[..., None]) -> None:
    """At most `LOG_LINES` of a task; the numbers go on."""
    options(LOG_LINES=3)
    other = Task.objects.create(name="other")
    other.log("stays")
    for number in range(1, 6):
        task.log(number)
    assert [number for number, _ in stored()] == [1, 3, 4, 5]
    assert [number for number in told() if isinstance(number, int)] == [1, 1, 2, 3, 4, 5]


def test_retention_takes_lines_of_tasks_long_finished(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a task that goes on stay, whatever their age: the last one holds the count."""
    long_ago = timezone.now() - timedelta(days=30)
    old = Task.objects.create(name="old")
    for each in (task, old):
        each.log("a line")
    TaskLog.objects.update(created_at=long_ago)
    Task.objects.filter(pk=old.pk).update(status="failed", finished_at=long_ago)
    call_command("prune_events")
    assert [line.task_id for line in TaskLog.objects.all()] == [task.pk]
    assert capsys.readouterr().out.endswith("and 1 lines deleted.\n")
    task.log("next")
    assert [number for number, _ in stored()] == [1, 2]


def test_a_deleted_task_takes_its_lines_along(
    engine: str, options: Callable[..., None], make_user: Any
) -> None:
    """However it is deleted, also with its owner; the others keep theirs."""
    owner = make_user()
    tasks = [Task.objects.create(name=name, owner=owner) for name in "abc"]
    other = Task.objects.create(name="other")
    for each in (*tasks, other):
        each.log("a line")
    for delete in (tasks[0].delete, Task.objects.filter(pk=tasks[1].pk).delete, owner.delete):
        before = TaskLog.objects.count()
        delete()
        assert TaskLog.objects.count() == before - 1
    assert [line.task_id for line in TaskLog.objects.all()] == [other.pk]
    assert Event.objects.filter(kind="task_log").count() == 4
