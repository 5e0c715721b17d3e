"""Reports that wait for their turn: for how long, of which task, and that nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from realtime.exceptions import IllegalTransition
from realtime.models import Task
from tests.reporting import end_reports

#: Seconds between two writes; SOON is long enough for what a test does first.
NEVER, SOON = 3600, 0.5


def stored(task: Task) -> Task:
    """The row as it is now."""
    return Task.objects.get(pk=task.pk)


@pytest.fixture(scope="module", autouse=True)
def timer() -> Iterator[None]:
    """Let the timer's thread end, and its connection with it; for modules that import it."""
    yield
    end_reports()


@pytest.fixture
def interval(settings: Any) -> Callable[[float], None]:
    """Set the seconds between two written reports; for modules that import it."""

    def set_to(seconds: float) -> None:
        settings.REALTIME = {"PROGRESS_INTERVAL": seconds}

    set_to(NEVER)
    return set_to


@pytest.fixture
def task(engine: str, interval: Callable[[float], None]) -> Iterator[Task]:
    """A running task whose first report has been written; it is finished after the test."""
    task = Task.objects.create(name="import")
    task.start()
    task.report(1)
    yield task
    interval(NEVER)
    with suppress(IllegalTransition, Task.DoesNotExist):
        task.fail("the test is over")
