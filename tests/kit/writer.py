"""The process that works: it saves a task again and again and notes when each save was committed."""

import time
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save

from realtime.models import Task
from tests.kit.crowd import mark


def write(task_id: str, first: int, count: int, rate: float) -> list[float]:
    """Save the task ``count`` times, ``rate`` times a second; return the commits' monotonic times.

    Each save carries its number, from ``first`` on, in the task's message.
    """
    task = Task.objects.get(pk=task_id)
    commits: list[float] = []

    def note(**_: Any) -> None:
        # Registered before the log's own callback, so it runs right after the commit.
        transaction.on_commit(lambda: commits.append(time.monotonic()))

    post_save.connect(note, sender=Task, weak=False)
    try:
        begin = time.monotonic()
        for offset in range(count):
            time.sleep(max(0.0, begin + offset / rate - time.monotonic()))
            task.message = mark(first + offset)
            task.save()
    finally:
        post_save.disconnect(note, sender=Task)
    return commits
