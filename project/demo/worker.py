"""The worker: does jobs as tasks, those that it is asked for and its own, until told to stop."""

import logging
import threading
import time
import traceback
import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, connections

from project.demo.jobs import BY_NAME, Job, Step
from realtime.exceptions import IllegalTransition, TaskCancelled
from realtime.models import Task

logger = logging.getLogger(__name__)

#: Seconds between two looks for something to do.
LOOK_INTERVAL = 0.2
#: A job that cannot say how long it takes is spread as if it had so many steps.
UNKNOWN_STEPS = 2000


class Stopped(Exception):
    """The worker is to end; the running task is cancelled."""


class Worker:
    """Does jobs, each spread over about `seconds`, and keeps the last `keep` tasks of each owner."""

    def __init__(self, owner: User, seconds: float, keep: int) -> None:
        self.owner = owner
        self.seconds = seconds
        self.keep = keep
        self._stop = threading.Event()
        self._own = uuid.uuid4()  # the task of the round: nobody else's to do

    def stop(self) -> None:
        """End soon; may be called from a signal handler."""
        self._stop.set()

    def run(self, jobs: Iterable[Job]) -> None:
        """Do the jobs in order, for `owner`; return early when stopped."""
        for job in jobs:
            if self._stop.is_set():
                return
            self._do(job)
            self._forget_old(self.owner.pk)
            self._stop.wait(self.seconds / 5)

    def serve(self) -> None:
        """Do what people ask for, oldest first, until stopped; several threads may do so at once."""
        try:
            while not self._stop.wait(LOOK_INTERVAL):
                try:
                    self._take_one()
                except DatabaseError:
                    logger.exception("looking for work")
                    self._stop.wait(LOOK_INTERVAL * 10)
        finally:
            connections.close_all()  # of this thread

    def _take_one(self) -> None:
        """Do the oldest task that waits, if there is one."""
        waiting = Task.objects.filter(status="pending", name__in=BY_NAME, owner__isnull=False)
        task = waiting.exclude(pk=self._own).order_by("created_at").first()
        if task is not None:
            self._attempt(BY_NAME[task.name], task)
            self._forget_old(task.owner_id)

    def _do(self, job: Job) -> None:
        """Do one job as one task of our own."""
        self._own = uuid.uuid4()
        task = Task.objects.create(pk=self._own, name=job.name, owner=self.owner)
        # Long enough for somebody to see that a task can wait.
        self._stop.wait(self.seconds / 10)
        self._attempt(job, task)

    def _attempt(self, job: Job, task: Task) -> None:
        """Do a job, unless somebody else is faster."""
        logger.info("task %s: %s", task.pk, job.name)
        try:
            self._perform(job, task)
        except (IllegalTransition, Task.DoesNotExist) as error:
            # Cancelled while it waited, deleted, or another's: there is nothing left to tell.
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
            task.log(str(error), level="error")
            task.fail(error=str(error), traceback=traceback.format_exc())

    def _work(self, job: Job, task: Task) -> Any:
        """Run the job and report its steps; return its result, raise what it or a report raises."""
        started = time.monotonic()
        work = job.work()
        cancel_at = 0.5 if job.cancelled_half_way else None
        phase = ""
        try:
            while True:
                step = next(work)
                task.report(done=step.done, total=step.total, phase=step.phase, message=step.message)
                if phase != step.phase:
                    phase = step.phase
                    task.log(f"{phase}: {step.total or 'an unknown number of'} steps")
                if cancel_at is not None and step.total and step.done >= step.total * cancel_at:
                    cancel_at = None
                    # As a user would, who sees the same row from another process.
                    Task.objects.get(pk=task.pk).cancel()
                self._keep_pace(step, started)
        except StopIteration as end:
            return end.value
        finally:
            work.close()  # a job that is called off removes its files now, not when collected

    def _keep_pace(self, step: Step, started: float) -> None:
        """Wait until the step is due, so that people can watch; raise `Stopped` when told."""
        due = started + self.seconds * step.done / (step.total or UNKNOWN_STEPS)
        if self._stop.wait(max(0, due - time.monotonic())):
            raise Stopped

    def _forget_old(self, owner_id: Any) -> None:
        """Delete an owner's finished tasks of the demonstration but the last `keep`."""
        tasks = Task.objects.filter(owner=owner_id, name__in=BY_NAME, finished_at__isnull=False)
        old = list(tasks.order_by("-created_at").values_list("pk", flat=True)[self.keep :])
        Task.objects.filter(pk__in=old).delete()
