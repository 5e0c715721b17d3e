"""A block that is a task, and how its end follows from the end of the block.

The end of the work is the end of its task. Completed, when it ran to its end. Failed, when an exception left
it: the owner is told its kind, staff its traceback. Cancelled, when somebody asked for that, which the next
written report raises as ``TaskCancelled``; by Ctrl-C, too, and when an asyncio task is cancelled. Every
exception goes on, ``TaskCancelled`` as well: what follows would take the work for done. What the block itself
has said (``task.complete(result=…)``, ``task.fail(…)``) stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

from asgiref.sync import sync_to_async
from django.db import models, router

from realtime import current
from realtime.events import CANCELLED, FINAL
from realtime.exceptions import RealtimeError, TaskCancelled
from realtime.models import Task

logger = logging.getLogger("realtime.tracking")

#: What is told of a generator, or of a loop, that ended before its last step: nobody tells it why.
LEFT = "The work was left before its end."
#: Somebody wanted the work to stop; everything else that ends it early is a failure.
STOPPED = (TaskCancelled, KeyboardInterrupt, asyncio.CancelledError)
#: The owner is whoever :func:`realtime.current.owned_by` says, or the owner of the work around this one.
INHERITED: Any = object()


def finish(task: Task, error: BaseException | None, result: Any = None) -> None:
    """End the task as its work ended: with ``result``, or with what was raised.

    A task that is finished already stays as it is. Raises nothing in the place of ``error``.
    """
    try:
        if is_finished(task):
            return
        if error is None:
            task.complete(result)
        elif isinstance(error, STOPPED):
            task._finish(status=CANCELLED)
        elif isinstance(error, GeneratorExit):
            task.fail(LEFT)
        else:
            task.fail(error)
    except (RealtimeError, Task.DoesNotExist) as trouble:
        # Somebody else ended it, or deleted it, while the work went on.
        logger.warning("The end of task %s was not written: %s", task.pk, trouble)
    except Exception:
        if error is None:
            raise
        logger.exception("The end of task %s was not written.", task.pk)


def is_finished(task: Task) -> bool:
    """Tell whether the work itself has said how it ended, and was not rolled back after that."""
    if task.status not in FINAL or "status" not in task.changes():
        return task.status in FINAL
    rows: models.QuerySet[Task] = models.QuerySet(Task, using=router.db_for_write(Task, instance=task))
    return rows.filter(pk=task.pk, status__in=FINAL).exists()


class Block:
    """A block that is a task: ``with`` or ``async with``, once."""

    def __init__(self, name: str, owner: Any, measure: Callable[[], int | None]) -> None:
        """``measure`` returns the total; it may ask the database."""
        self._name, self._measure = name, measure
        self._owner_id = current.current_owner() if owner is INHERITED else current.owner_key(owner)
        self._entered: current.Scope | None = None
        #: What the task gets as its result when the block ends well.
        self.result: Any = None

    def _begin(self) -> Task:
        task: Task = Task.objects.create(name=self._name, owner_id=self._owner_id, total=self._measure())
        task.start()
        return task

    def leave(self) -> None:
        """Leave the task's scope; what runs from now on is no part of it. Does not end the task."""
        if self._entered is not None:
            current.leave(self.task, self._entered)

    def __enter__(self) -> Task:
        self.task = self._begin()
        self._entered = current.enter(self.task)
        return self.task

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        finish(self.task, error, self.result)

    async def __aenter__(self) -> Task:
        self.task = await sync_to_async(self._begin)()
        self._entered = current.enter(self.task)
        return self.task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        await sync_to_async(finish)(self.task, error, self.result)
