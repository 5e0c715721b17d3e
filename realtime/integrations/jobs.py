"""A job of a queue and the task that shows it: queued, started, waiting, ended.

What every queue needs alike. A job's task has the job's id. Signals of a queue may come late, twice or not
at all, so each step takes the task as it finds it: what is not there is made, what is final stays. A job that
runs although its task is finished (it was delivered again) gets a new one, the retry of the first.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, router, transaction

from realtime import current
from realtime.events import CANCELLED, FINAL, PENDING, RUNNING
from realtime.integrations import off_loop
from realtime.models import Task, lease
from realtime.tracking.block import finish, is_finished
from realtime.tracking.function import as_result

_IDS = uuid.UUID("a7f6f0c2-6c3b-4a7e-9b1b-6f5ac1d1f0d3")


class Running(NamedTuple):
    """A job that this process runs: its task, what ran around it, and whether it was published again."""

    task: Task
    entered: current.Scope
    again: bool = False


#: By the job's id. Small: a process runs one job per thread.
_running: dict[str, Running] = {}
#: What is written now was told by the queue, which need not be told of it in turn.
_told: ContextVar[bool] = ContextVar("realtime_told_by_queue", default=False)


def task_id(job: str) -> uuid.UUID:
    """Return the id of a job's task: the job's own, or, of one that is no UUID, one made of it."""
    try:
        return uuid.UUID(job)
    except ValueError:
        return uuid.uuid5(_IDS, job)


def readable(name: str) -> str:
    """Return what people read for a function's name: ``shop.tasks.import_orders`` is "Import orders"."""
    return name.rpartition(".")[2].replace("_", " ").strip().capitalize()[:255] or name[:255]


def queued(job: str, name: str, owner_id: Any, *, at_once: bool = False) -> None:
    """Show a job that waits for a worker, once the queue has it; at the commit of the caller's transaction.

    With ``at_once`` in that transaction: for a queue that is in the same database. A worker that was faster
    has made the task itself, but may not know whose it is.
    """

    def show() -> None:
        task = Task.objects.filter(pk=task_id(job)).first() or _create(task_id(job), name, owner_id)
        if owner_id is not None and task.owner_id is None:
            with suppress(IntegrityError, ValueError, ValidationError):
                task.owner_id = owner_id
                task.save(update_fields=["owner"])

    def at_commit() -> None:
        transaction.on_commit(show, using=router.db_for_write(Task), robust=True)

    off_loop.run(show if at_once else at_commit)


def told_by_queue() -> bool:
    """Tell whether the row that is being saved is saved because of what the queue said."""
    return _told.get()


@contextmanager
def _telling() -> Iterator[None]:
    token = _told.set(True)
    try:
        yield
    finally:
        _told.reset(token)


@_telling()
def started(job: str, name: str, owner_id: Any) -> bool:
    """Work on a job from now on, in this process; False when somebody cancelled it before."""
    pk = task_id(job)
    task = Task.objects.filter(pk=pk).first() or _create(pk, name, owner_id)
    if task.status == RUNNING and task.cancel_requested_at:
        task._finish(status=CANCELLED)
    if task.status == CANCELLED:
        # If it runs all the same, its first report is told.
        _running[job] = Running(task, current.enter(task))
        return False
    if task.status in FINAL:
        task = Task.objects.create(name=task.name, owner_id=task.owner_id, retry_of_id=task.pk)
    if task.status == PENDING:
        task.start()
    else:
        _take_over(task)
    _running[job] = Running(task, current.enter(task))
    return True


def runs(job: str) -> bool:
    """Tell whether this process works on a job."""
    return job in _running


def waits(job: str, message: str) -> None:
    """Tell that a job ended for now and will be delivered again: still running, with nobody at work.

    So without a lease; and before the queue has it, or the next worker's lease would be taken away.
    """
    if (running := _running.get(job)) is not None:
        waiting = {"phase": "Waiting for another attempt", "message": message, "lease_expires_at": None}
        running.task._change(lambda row: waiting if row.status == RUNNING else {})
        _running[job] = running._replace(again=True)


def goes_on(job: str) -> bool:
    """Tell whether a job that this process works on was published again, and so goes on elsewhere."""
    return job in _running and _running[job].again


def completed(job: str, result: Any) -> None:
    """End the task of a job that has returned."""
    if (task := _unfinished(job)) is not None:
        if task.status == PENDING:
            task.start()
        finish(task, None, as_result(result))


@_telling()
def failed(job: str, error: BaseException | str, traceback: str = "") -> None:
    """End the task of a job with what went wrong: an exception, or words and perhaps a traceback.

    In any process: that of a worker that was killed is told by another.
    """
    if (task := _unfinished(job)) is None:
        return
    if isinstance(error, BaseException):
        finish(task, error)
    else:
        task.fail(error, traceback)


@_telling()
def cancelled(job: str, message: str = "") -> None:
    """End the task of a job that will not run, or that was terminated."""
    if (task := _unfinished(job)) is not None:
        task._finish(status=CANCELLED, **({"message": message} if message else {}))


def _unfinished(job: str) -> Task | None:
    """Return the task of a job: the instance that works here, else the row, if there is one to end."""
    running = _running.get(job)
    task = running.task if running else Task.objects.filter(pk=task_id(job)).first()
    return None if task is None or is_finished(task) else task


def left(job: str) -> Task | None:
    """Work on a job no more; return its task if nobody has said how it ended."""
    running = _running.pop(job, None)
    if running is None:
        return None
    current.leave(running.task, running.entered)
    return None if is_finished(running.task) else running.task


def _create(pk: uuid.UUID, name: str, owner_id: Any) -> Task:
    """Make the task of a job, unless another process just did; of nobody, if the owner is gone."""
    for owner in (owner_id, None):
        try:
            # In a block of its own, so that the caller's transaction survives a collision.
            with transaction.atomic(using=router.db_for_write(Task)):
                task: Task = Task.objects.create(pk=pk, name=name, owner_id=owner)
                return task
        except (IntegrityError, ValueError, ValidationError):
            if (there := Task.objects.filter(pk=pk).first()) is not None:
                return there
            if owner is None:
                raise
    raise AssertionError("the last attempt returns or raises")


def _take_over(task: Task) -> None:
    """Begin again what another attempt began: from nothing, with a lease of our own."""
    again = {"done": 0, "progress": 0, "phase": "", "message": "", "lease_expires_at": lease.new_expiry()}
    task._change(lambda row: again if row.status == RUNNING else {})
    task._working = True
    lease.keep(task)


os.register_at_fork(after_in_child=_running.clear)
