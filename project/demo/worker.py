"""The worker: does jobs one after the other and reports each as a task, until told to stop."""

import logging
import threading
import time
import traceback
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User

from project.demo.jobs import JOBS, Job, Step
from realtime.exceptions import IllegalTransition, TaskCancelled
from realtime.models import Task

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The worker is to end; the running task is cancelled."""


class Worker:
    """Does jobs for `owner`, each spread over about `seconds`, and keeps the last `keep` tasks."""

    def __init__(self, owner: User, seconds: float, keep: int) -> None:
        self.owner = owner
        self.seconds = seconds
        self.keep = keep
        self._stop = threading.Event()

    def stop(self) -> None:
        """End soon; may be called from a signal handler."""
        self._stop.set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Do the jobs in order; return early when stopped."""
        for job in jobs:
            if self._stop.is_set():
                return
            self._do(job)
            self._forget_old()
            self._stop.wait(self.seconds / 5)

    def _do(self, job: Job) -> None:
        """Do one job as one task."""
        task = Task.objects.create(name=job.name, owner=self.owner)
        logger.info("task %s: %s", task.pk, job.name)
        # Long enough for somebody to see that a task can wait.
        self._stop.wait(self.seconds / 10)
        try:
            self._perform(job, task)
        except (IllegalTransition, Task.DoesNotExist) as error:
            # Somebody cancelled it while it waited, or deleted it: there is nothing left to tell.
            logger.info("task %s: %s", task.pk, error)

    def _perform(self, job: Job, task: Task) -> None:
        """See the task from its start to its end, whatever becomes of the job."""
        task.start()
        try:
            task.complete(result=self._work(job, task))
        except TaskCancelled:
            task.cancel()
        except Stopped:
            task.cancel()  # asks, as anybody would who wants it to stop
            task.cancel()  # says that it has stopped
        except (IllegalTransition, Task.DoesNotExist):
            raise
        except Exception as error:
            logger.warning("task %s failed: %s", task.pk, error)
            task.fail(error=str(error), traceback=traceback.format_exc())

    def _work(self, job: Job, task: Task) -> dict[str, Any]:
        """Run the job and report its steps; return its result, raise what it or a report raises."""
        started = time.monotonic()
        work = job.work()
        cancel_at = 0.5 if job.cancelled_half_way else None
        try:
            while True:
                step = next(work)
                task.report(done=step.done, total=step.total, phase=step.phase, message=step.message)
                if cancel_at is not None and step.done >= step.total * cancel_at:
                    cancel_at = None
                    # As a user would, who sees the same row from another process.
                    Task.objects.get(pk=task.pk).cancel()
                self._keep_pace(step, started)
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result
        finally:
            work.close()  # a job that is called off removes its files now, not when collected

    def _keep_pace(self, step: Step, started: float) -> None:
        """Wait until the step is due, so that people can watch; raise `Stopped` when told."""
        due = started + self.seconds * step.done / step.total
        if self._stop.wait(max(0, due - time.monotonic())):
            raise Stopped

    def _forget_old(self) -> None:
        """Delete the owner's tasks of the demonstration but the last `keep`."""
        names = [job.name for job in JOBS]
        tasks = Task.objects.filter(owner=self.owner, name__in=names).order_by("-created_at")
        old = list(tasks.values_list("pk", flat=True)[self.keep :])
        Task.objects.filter(pk__in=old).delete()
