"""What Celery's signals mean for our tasks. Loaded with the first signal, when there are models.

Celery logs what a receiver raises, and goes on with the user's task.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from django.db import connections, router, transaction

from realtime import current
from realtime.events import CANCELLED, PENDING
from realtime.integrations import errands, jobs
from realtime.integrations.celery import BROKER_TIMEOUT, OWNER_HEADER, SILENCE, Options
from realtime.models import Task

logger = logging.getLogger("realtime.celery")


#: What is said of a task that ``self.replace()`` has handed over.
REPLACED = "Replaced by another task."


def _later(embedded: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is to run after a message: the rest of its chain, and the end of its chord."""
    for signature in (*(embedded.get("chain") or ()), embedded.get("chord")):
        if signature and signature["options"].get("task_id"):
            yield signature


@contextmanager
def _visit(job: str) -> Iterator[None]:
    """Look up a job that another process ran, and keep no connection that a fork would inherit."""
    yield
    if not jobs.runs(job) and not connections[router.db_for_write(Task)].in_atomic_block:
        for connection in connections.all(initialized_only=True):
            connection.close()
            if hasattr(connection, "close_pool"):
                connection.close_pool()


class Bridge:
    """The receivers, as :data:`realtime.integrations.celery.RECEIVERS` names them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        #: Jobs that were cancelled before they began, between two signals of one worker.
        self._refused: set[str] = set()

    def follows(self, name: str) -> bool:
        """Tell whether tasks of this name are shown."""
        chosen, left_out = self._options.tasks, self._options.exclude
        return any(fnmatchcase(name, p) for p in chosen) and not any(fnmatchcase(name, p) for p in left_out)

    def refuses(self, task_id: str) -> bool:
        """Tell, once, whether a job that is about to run was cancelled before."""
        refused = task_id in self._refused
        self._refused.discard(task_id)
        return refused

    def publishing(self, sender: str, headers: dict[str, Any], body: Any, **kwargs: Any) -> None:
        """Write the owner onto the message; a running task that publishes itself anew waits."""
        if not self.follows(sender):
            return
        owner = headers.get(OWNER_HEADER)
        if owner is None:
            owner = current.current_owner()
        if owner is None and self._options.owner is not None:
            owner = self._options.owner(sender, tuple(body[0]), body[1])
        if (key := current.owner_key(owner)) is not None:
            headers[OWNER_HEADER] = str(key)
        if jobs.runs(headers["id"]):
            error = sys.exc_info()[1]
            ended = f" ended with {type(error).__name__}" if error is not None else " was not the last"
            attempt = f"Attempt {headers['retries']}{ended}."
            jobs.waits(headers["id"], attempt if headers["retries"] else REPLACED)
        for later in _later(body[2]):
            if jobs.runs(later["options"]["task_id"]) and self.follows(later["task"]):
                jobs.waits(later["options"]["task_id"], REPLACED)

    def published(self, sender: str, headers: dict[str, Any], **kwargs: Any) -> None:
        """Show it as pending, now that the broker has it: what could not be published is not shown."""
        if self.follows(sender) and not jobs.runs(headers["id"]):
            name = jobs.readable(headers.get("shadow") or sender)
            jobs.queued(headers["id"], name, headers.get(OWNER_HEADER))

    def starting(self, sender: Any, task_id: str, **kwargs: Any) -> None:
        """Set it running, in the process that runs it."""
        if not self.follows(sender.name):
            return
        request = sender.request
        owner = getattr(request, OWNER_HEADER, None) or (request.headers or {}).get(OWNER_HEADER)
        owner = current.current_owner() if owner is None else owner
        name = jobs.readable(getattr(request, "shadow", None) or sender.name)
        if not jobs.started(task_id, name, current.owner_key(owner)):
            self._refused.add(task_id)

    def succeeded(self, sender: Any, result: Any, **kwargs: Any) -> None:
        """Complete it with what it returned."""
        if self.follows(sender.name):
            jobs.completed(sender.request.id, result)

    def failed(self, sender: Any, task_id: str, exception: Any, **kwargs: Any) -> None:
        """Fail it. For a process that was killed the main process of its worker tells."""
        if not self.follows(sender.name):
            return
        if jobs.runs(task_id):
            # Celery has made another exception of one that cannot be pickled.
            exception = sys.exc_info()[1] or exception
        with _visit(task_id):
            jobs.failed(task_id, exception)
        # One that was replaced by a chain waits for the chain's last task, which does not come any more.
        for later in _later({"chain": sender.request.chain}):
            with _visit(task_id):
                jobs.failed(later["options"]["task_id"], "A task before it has failed.")

    def ran(self, sender: Any, task_id: str, retval: Any = None, state: Any = None, **kwargs: Any) -> None:
        """Work on it no more. Left open by a retry, and by what Celery calls ignored and rejected.

        What was replaced (``self.replace()``) is ignored too, but goes on by the same id.
        """
        again = jobs.goes_on(task_id)
        task = jobs.left(task_id)
        self._refused.discard(task_id)
        if task is None or state == "RETRY" or (again and state == "IGNORED"):
            return
        if state == "IGNORED":
            jobs.cancelled(task_id, "Ignored.")
        elif state == "REJECTED" and not getattr(retval, "requeue", False):
            jobs.failed(task_id, "The worker rejected the task.")

    def revoked(self, request: Any, expired: bool = False, sender: Any = None, **kwargs: Any) -> None:
        """Cancel what will not run, or was terminated; told by the main process of a worker."""
        if self.follows(sender.name):
            with _visit(request.id):
                jobs.cancelled(request.id, "Expired before it began." if expired else "")

    def unknown(self, name: str, id: str, **kwargs: Any) -> None:
        """Fail what no worker knows, and Celery throws away."""
        if self.follows(name):
            with _visit(id):
                jobs.failed(id, "The worker does not know this task.")

    def saved(self, instance: Task, created: bool = False, update_fields: Any = None, **kwargs: Any) -> None:
        """Tell Celery what somebody wants of a task: that it ends, or that it is tried again."""
        changed = update_fields or ()
        act: errands.Errand
        what: Any
        if jobs.told_by_queue():
            return
        if created and instance.retry_of_id is not None and instance.status == PENDING:
            act, what = self._run_again, instance
        elif "cancel_requested_at" in changed or ("status" in changed and instance.status == CANCELLED):
            act, what = self._revoke, str(instance.pk)
        else:
            return
        transaction.on_commit(lambda: errands.add(act, what), using=router.db_for_write(Task), robust=True)

    @contextmanager
    def _broker(self) -> Iterator[Any]:
        """Connect to the broker, soon or not at all; one that is silent is left alone as soon."""
        with self._options.app.connection_for_write(connect_timeout=BROKER_TIMEOUT) as connection:
            bounds = dict.fromkeys(SILENCE.get(connection.transport.driver_type, ()), BROKER_TIMEOUT)
            connection.transport_options = {**(connection.transport_options or {}), **bounds}
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT)
            yield connection

    def _revoke(self, ids: list[str]) -> None:
        """Let no worker begin them, or their next attempts; what runs learns of it by its reports."""
        try:
            with self._broker() as connection:
                self._options.app.control.revoke(ids, connection=connection)
        except Exception as error:
            logger.warning("%d tasks could not be revoked at the broker: %r", len(ids), error)

    def _run_again(self, tasks: list[Task]) -> None:
        """Publish what they retry anew, if Celery's results still tell how it was (``result_extended``)."""
        for task in tasks:
            try:
                known = self._options.app.AsyncResult(str(task.retry_of_id))
                followed = known.name is not None and self.follows(known.name)
            except (AttributeError, NotImplementedError):
                return  # There is no result backend.
            except Exception as error:
                # Perhaps it was never Celery's; so it waits for somebody who runs it.
                logger.warning("What task %s retries could not be looked up: %r", task.pk, error)
                continue
            if followed:
                self._publish_again(task, known)

    def _publish_again(self, task: Task, known: Any) -> None:
        try:
            with self._broker() as connection:
                self._options.app.send_task(
                    known.name,
                    args=known.args,
                    kwargs=dict(known.kwargs or {}),
                    queue=known.queue,
                    task_id=str(task.pk),
                    connection=connection,
                )
        except Exception as error:
            logger.warning("Task %s could not be published again: %r", task.pk, error)
            jobs.failed(str(task.pk), "The queue could not be reached.")
