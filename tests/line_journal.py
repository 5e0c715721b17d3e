"""What has become of lines: their rows, and their events among those of the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime.models import TaskLog
from tests.journal import journal


def stored() -> list[tuple[int, str]]:
    """Number and text of all lines, in the order of their numbers."""
    return list(TaskLog.objects.order_by("number").values_list("number", "text"))


def told() -> list[Any]:
    """The log's order in short: a line's number, or the status that a change brought."""
    return [e.data["number"] if e.kind == "task_log" else e.data["status"] for e in journal()]


@pytest.fixture
def options(settings: Any) -> Callable[..., None]:
    """Set settings; lines are written at once where nothing is said. For modules that import it."""

    def put(**values: Any) -> None:
        settings.REALTIME = {"PROGRESS_INTERVAL": 0, **values}

    put()
    return put
