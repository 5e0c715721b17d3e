"""A report is not lost when the database does not take it, and never contradicts a newer one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.signals import pre_save

from realtime.models import Event, Task, throttle
from tests.kit.waiting import eventually
from tests.throttled import interval, stored, task, timer

__all__ = ["interval", "task", "timer"]


@contextmanager
def failing_database(times: int) -> Iterator[list[int]]:
    """Let that many saves of tasks fail, as they do while the database restarts."""
    failed: list[int] = []

    def fail(**signal: Any) -> None:
        if len(failed) < times:
            failed.append(len(failed))
            raise OperationalError("the database system is shutting down")

    pre_save.connect(fail, sender=Task)
    try:
        yield failed
    finally:
        pre_save.disconnect(fail, sender=Task)


@pytest.mark.requirement("F4")
@pytest.mark.parametrize("times", [1, 3])
def test_a_report_that_failed_is_tried_again(
    task: Task, interval: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """By the timer, until the database takes it, though the worker reports nothing more."""
    monkeypatch.setattr(throttle, "RETRY_SECONDS", 0.05)
    interval(0.1)
    with failing_database(times) as failed:
        task.report(70, message="nearly there")
        eventually(lambda: stored(task).progress == 70)
    assert len(failed) == times
    assert stored(task).message == "nearly there"
    assert [e.data["progress"] for e in Event.objects.order_by("position")][-2:] == [1, 70]


@pytest.mark.requirement("F4")
def test_a_newer_report_wins_over_one_that_failed(
    task: Task, interval: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried again is what is true by then."""
    monkeypatch.setattr(throttle, "RETRY_SECONDS", 0.05)
    interval(0.1)
    with failing_database(1) as failed:
        task.report(30, phase="reading")
        eventually(lambda: failed)
        task.report(60)
        eventually(lambda: stored(task).progress == 60)
    assert stored(task).phase == "reading"


@pytest.mark.requirement("T6")
def test_a_count_replaces_an_older_percentage(task: Task) -> None:
    """report(10), then 5 of 10, neither written yet: the task stands at 50, not at 10."""
    task.report(10)
    task.report(done=5, total=10)
    task.fail("stopped")
    assert (stored(task).progress, stored(task).done, stored(task).total) == (50, 5, 10)


@pytest.mark.requirement("T6")
def test_a_percentage_replaces_an_older_count(task: Task) -> None:
    """5 of 10, then report(80): the later word counts."""
    task.report(done=5, total=10)
    task.report(80)
    task.fail("stopped")
    assert stored(task).progress == 80


@pytest.mark.requirement("T6")
def test_counts_are_put_together(task: Task) -> None:
    """The total in one report, the count in the next, then a phase: nothing takes the percentage back."""
    task.report(total=8)
    task.report(done=2)
    task.report(phase="writing")
    task.fail("stopped")
    assert (stored(task).progress, stored(task).phase) == (25, "writing")
