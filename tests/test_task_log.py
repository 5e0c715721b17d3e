"""The lines of a task: numbered, in order, none lost, and many in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from realtime import log
from realtime.exceptions import IllegalTransition, InvalidValue
from realtime.models import Task, TaskLog
from tests.journal import journal
from tests.kit.threads import in_thread, open_transaction, together
from tests.kit.waiting import eventually
from tests.line_journal import options, stored, told
from tests.throttled import NEVER, SOON, timer
from tests.watching import dying_after_commit

__all__ = ["options", "timer"]

pytestmark = pytest.mark.requirement("T8")


@pytest.fixture
def task(engine: str, options: Callable[..., None]) -> Iterator[Task]:
    """A running task; it is finished after the test."""
    task = Task.objects.create(name="import", status="running")
    yield task
    with suppress(IllegalTransition, Task.DoesNotExist):
        Task.objects.get(pk=task.pk).fail("the test is over")


def test_a_line_is_a_row_and_an_event(task: Task) -> None:
    """Numbered from 1, with its level and its time; its event is the owner's, and changes nothing."""
    before = timezone.now()
    task.log("begun")
    task.log("slow", level="warning")
    rows = list(TaskLog.objects.order_by("number"))
    assert [(row.number, row.level, row.text) for row in rows] == [
        (1, "info", "begun"),
        (2, "warning", "slow"),
    ]
    assert before <= rows[0].created_at <= rows[1].created_at <= timezone.now()
    lines = [event for event in journal() if event.kind == "task_log"]
    assert [event.data for event in lines] == [row.data() for row in rows]
    assert {event.task_id for event in lines} == {str(task.pk)}
    assert Task.objects.get().version == 1
    assert task.lines.count() == 2


def test_many_lines_are_a_few_transactions(
    task: Task, options: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is written at once; the others wait, but never more than so many of them."""
    options(PROGRESS_INTERVAL=NEVER)
    monkeypatch.setattr("realtime.models.lines.MANY", 50)
    written = set()
    for number in range(1, 102):
        task.log(number)
        written.add(TaskLog.objects.count())
    assert written == {1, 51}
    task.complete()
    assert stored() == [(number, str(number)) for number in range(1, 102)]
    assert told() == ["running", *range(1, 102), "completed"]


ENDS: list[Callable[[Task], Any]] = [
    lambda task: task.complete(),
    lambda task: task.fail("disk full"),
    lambda task: (task.cancel(), task.cancel()),
    lambda task: (setattr(task, "status", "failed"), task.save()),
]


def test_all_lines_stand_before_the_end(engine: str, options: Callable[..., None]) -> None:
    """Who follows a task until it is done has read its whole log, however it ends."""
    options(PROGRESS_INTERVAL=NEVER)
    for finish in ENDS:
        begin = len(told())
        task = Task.objects.create(name="import")
        task.start()
        for number in range(1, 5):
            task.log(number)
            task.report(done=number)
        finish(task)
        mine = told()[begin:]
        assert [entry for entry in mine if isinstance(entry, int)] == [1, 2, 3, 4]
        assert mine[-1] == Task.objects.get(pk=task.pk).status != "running"


def test_an_end_that_fails_keeps_the_lines(task: Task, options: Callable[..., None]) -> None:
    """They wait in their order, and go with the next attempt."""
    options(PROGRESS_INTERVAL=NEVER)
    for number in range(1, 4):
        task.log(number)
    with pytest.raises(InvalidValue):
        task.complete(result=float("nan"))
    task.log(4)
    assert stored() == [(1, "1")]
    task.fail()
    assert stored() == [(number, str(number)) for number in range(1, 5)]


def test_the_timer_writes_the_last_lines(task: Task, options: Callable[..., None]) -> None:
    """A worker that falls silent after a line has not told it in vain."""
    options(PROGRESS_INTERVAL=SOON)
    for number in range(1, 4):
        task.log(number)
    eventually(lambda: stored() == [(1, "1"), (2, "2"), (3, "3")])


def test_inside_atomic_lines_wait_for_the_commit(task: Task, engine: str) -> None:
    """They lock nothing meanwhile; rolled back, they go with whatever is written next."""
    with transaction.atomic(using=engine):
        task.log(1)
        task.log(2)
        assert stored() == []
    assert stored() == [(1, "1"), (2, "2")]
    with suppress(ZeroDivisionError), transaction.atomic(using=engine):
        task.log(3)
        raise ZeroDivisionError
    assert len(stored()) == 2
    task.report(50)
    assert told() == ["running", 1, 2, 3, "running"]


def test_lines_of_many_at_once_have_numbers_without_a_gap(task: Task) -> None:
    """Threads and processes may log for one task; each number is given once, in the order of the log."""

    def work() -> None:
        mine = Task.objects.get(pk=task.pk)
        for _ in range(10):
            mine.log("a line")

    together(*[work] * 4)
    assert [number for number, _ in stored()] == list(range(1, 41))
    assert told() == ["running", *range(1, 41)]


def test_a_finished_task_has_no_further_lines(task: Task, options: Callable[..., None]) -> None:
    """Nothing follows the end: its worker is told so, and one that believes in its task a line later."""
    late, later = Task.objects.get(pk=task.pk), Task.objects.get(pk=task.pk)
    options(PROGRESS_INTERVAL=NEVER)
    later.log("written")
    later.log("waits")
    task.complete()
    for refused in (task, late):
        with pytest.raises(IllegalTransition, match="completed task has no further lines"):
            refused.log("x")
    assert later._lines is not None
    in_thread(later._lines.flush).result(20)
    with pytest.raises(IllegalTransition):
        later.log("x")
    assert stored() == [(1, "written")]
    assert told()[-1] == "completed"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_pending_task_may_have_lines(engine: str, options: Callable[..., None]) -> None:
    """Who puts it into a queue may say so. A task that is gone has none."""
    task = Task.objects.create(name="import")
    task.log("queued")
    assert stored() == [(1, "queued")]
    Task.objects.all().delete()
    with pytest.raises(Task.DoesNotExist):
        task.log("x")


def test_anything_that_becomes_text_is_a_line(task: Task) -> None:
    """Objects, signs that no database holds, and nothing; a level that is none is refused."""
    task.log(ValueError("no such file"))
    task.log("a\x00b\ud800")
    task.log("")
    assert [text for _, text in stored()] == ["no such file", "a\ufffdb?", ""]
    for level in ("critical", "INFO", "", None, 30):
        with pytest.raises(InvalidValue):
            task.log("x", level=level)


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_line_that_cannot_be_written_waits(
    task: Task, engine: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is busy or away is no reason to end the work; it raises when too much waits."""
    monkeypatch.setattr("realtime.models.lines.MANY", 3)
    monkeypatch.setattr("realtime.models.lines.RETRY_SECONDS", NEVER)
    with connections[engine].cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
    try:
        with open_transaction(engine, lambda: Task.objects.select_for_update().get(pk=task.pk)):
            for number in (1, 2, 3):
                task.log(number)
            assert caplog.text.count("could not be written yet") == 1
            with pytest.raises(OperationalError):
                task.log("too many")
            assert stored() == []
    finally:
        with connections[engine].cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
    task.log(4)
    assert stored() == [(number, str(number)) for number in range(1, 5)]


def test_a_process_that_dies_loses_no_line_that_it_committed(task: Task, engine: str) -> None:
    """Killed before its events had positions: whoever sequences next finds all of them in their order."""
    with dying_after_commit(engine):
        task.log(1)
        task.log(2)
        task.report(50)
    assert told() == ["running"]
    log.sequence()
    assert told() == ["running", 1, 2, "running"]
    assert stored() == [(1, "1"), (2, "2")]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_waits_at_a_fork_is_the_parents(task: Task, options: Callable[..., None]) -> None:
    """The child has a copy of the instance, but must not tell the same again."""
    options(PROGRESS_INTERVAL=NEVER)
    for text in ("written", "the parent's"):
        task.log(text)
    assert task._lines is not None
    task._lines._process = -1
    task.log("the child's")
    task.complete()
    assert stored() == [(1, "written"), (2, "the child's")]
