"""The work API of a task: what a worker calls while it works, and others to ask it to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from traceback import format_exception
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import sync_to_async
from django.db import connections, models, router, transaction
from django.utils import timezone

from realtime.events import CANCELLED, COMPLETED, FAILED, FINAL, PENDING, RUNNING
from realtime.exceptions import IllegalTransition, InvalidValue, RealtimeError, TaskCancelled
from realtime.models import lease, transitions
from realtime.models.figures import Figures
from realtime.models.lines import Lines
from realtime.models.queryset import lock_rows
from realtime.models.task_log import Line
from realtime.models.throttle import Throttle
from realtime.models.undo import unchanged_if_it_fails

if TYPE_CHECKING:
    from realtime.models.task import Task


class Work(Figures, models.Model):
    """A part of ``Task``: ``start``, ``report``, ``log``, ``complete``, ``fail``, ``cancel``; async twins."""

    class Meta:
        """The fields are those of ``Task``."""

        abstract = True

    _throttle: Throttle | None = None
    _lines: Lines | None = None
    #: This instance is its worker's: it started the task, or was told that the task was cancelled.
    _working = False

    def start(self) -> None:
        """Begin to work. Raises ``IllegalTransition`` unless the task is pending.

        From now on the task has a lease. It is renewed while this instance lives, in a living process: keep
        it to the end of the work. A task whose lease ends is marked as failed. For work that is done
        elsewhere, and only told of here, set the status ``running`` and save: then there is no lease.
        """

        def decide(row: Task) -> dict[str, Any]:
            if row.status != PENDING:
                raise IllegalTransition(message=f"A {row.status} task cannot be started.")
            return {"status": RUNNING, "lease_expires_at": lease.new_expiry()}

        self._change(decide)
        self._working = True
        lease.keep(cast("Task", self))

    def report(
        self,
        progress: float | None = None,
        *,
        done: int | None = None,
        total: int | None = None,
        phase: str | None = None,
        message: str | None = None,
    ) -> None:
        """Tell how far the work is: percent, or ``done`` of ``total``; and a phase and a message.

        Writes at most once per ``PROGRESS_INTERVAL`` and never loses the last value: a later report,
        a timer or the terminal change carries it. Raises ``InvalidValue`` at once for a bad value;
        when it writes, ``TaskCancelled`` if somebody asked for that, and ``IllegalTransition`` unless
        the task is running.
        """
        values: dict[str, Any] = {}
        if total is not None:
            values["total"] = transitions.clean_count("total", total)
        if done is not None:
            values["done"] = transitions.clean_count("done", done)
        if phase is not None:
            values["phase"] = transitions.clean_text(phase)[:255]
        if message is not None:
            values["message"] = transitions.clean_text(message)
        if progress is not None:
            values["progress"] = transitions.clean_progress(progress)
        self._offer(values)

    def advance(self, n: int = 1) -> None:
        """Tell that ``n`` more are done: ``report(done=…)`` for who does not count, and cheap in any loop.

        Counts on from the last ``done``, also from several threads. Raises what ``report`` raises.
        """
        if not isinstance(n, int) or n < 0:
            raise InvalidValue(message=f"advance() takes a whole number from 0, not {n!r}.")
        if self._throttle is None or not self._throttle.advance(n):
            self._offer({}, n)

    def _offer(self, values: dict[str, Any], more: int = 0) -> None:
        if self._throttle is None:
            self._throttle = Throttle(cast("Task", self))
        self._throttle.offer(cast("Task", self), values, more)
        if self.__dict__.get("lease_expires_at") is not None:
            lease.keep(cast("Task", self))

    def log(self, text: object, level: str = "info") -> None:
        """Tell a line: for who watches this task, and for who looks what happened.

        ``level`` is ``debug``, ``info``, ``warning`` or ``error``. Lines are numbered from 1 and written as
        reports are: at once, or together with those that follow within ``PROGRESS_INTERVAL``; none is lost,
        and all stand before the terminal change. So a thousand a second are a few transactions, but each is
        an event. The newest ``LOG_LINES`` of a task are kept. Inside ``atomic()`` they are written after
        the commit.

        Raises ``InvalidValue`` for a level that is none, and ``IllegalTransition`` when the task is finished,
        at once or at a later line. Never ``TaskCancelled``.
        """
        line, status = Line.of(text, level), self.__dict__.get("status")
        if status in FINAL:
            raise IllegalTransition(message=f"A {status} task has no further lines.")
        if self._lines is None:
            self._lines = Lines(cast("Task", self))
        self._lines.offer(line)

    def complete(self, result: Any = None) -> None:
        """Finish with success; ``result`` is any JSON value."""
        self._finish(status=COMPLETED, result=result)

    def fail(self, error: object = "", traceback: str = "") -> None:
        """Finish without success. ``error`` is shown to the owner, ``traceback`` to staff only.

        Of an exception the owner is told its kind: its text may quote a query, a path or another user's
        data. That stands in its traceback, which is added. An error of this app is told in its own words.
        """
        if isinstance(error, BaseException):
            traceback = traceback or "".join(format_exception(error))
            kind = type(error).__name__
            error = error.message if isinstance(error, RealtimeError) else f"The work ended with {kind}."
        self._finish(status=FAILED, error=str(error), traceback=traceback)

    def cancel(self) -> None:
        """Ask the task to stop, or, in its worker once it was asked, say that it has stopped.

        A pending task becomes ``cancelled`` at once. A running one gets ``cancel_requested_at`` and its
        worker's next written report raises ``TaskCancelled``; asking twice changes nothing. Raises
        ``IllegalTransition`` when the task is finished otherwise.
        """

        def decide(row: Task) -> dict[str, Any]:
            if row.status == CANCELLED:
                return {}
            if row.status in FINAL:
                raise IllegalTransition(message=f"A {row.status} task cannot be cancelled.")
            if row.status == PENDING or (row.cancel_requested_at and self._working):
                return {"status": CANCELLED}
            return {} if row.cancel_requested_at else {"cancel_requested_at": timezone.now()}

        self._change(decide)

    def retry(self) -> Task:
        """Make a new pending task of this finished one: its name, its owner, its total, ``retry_of`` it.

        They are those of the row as it is now. Raises ``IllegalTransition`` unless the task is finished,
        and ``Task.DoesNotExist`` when the row is gone.
        """
        model = type(cast("Task", self))
        using = router.db_for_write(model, instance=self)
        with transaction.atomic(using=using):
            rows = lock_rows(model, [self.pk], using)
            if not rows:
                raise model.DoesNotExist(f"Task {self.pk} is gone.")
            row = rows[0]
            if row.status not in FINAL:
                raise IllegalTransition(message=f"A {row.status} task cannot be retried.")
            # By its id: once this instance is deleted, Django would not save what holds it.
            again = model(name=row.name, owner_id=row.owner_id, total=row.total, retry_of_id=row.pk)
            again.save(using=using)
            return again

    def _finish(self, **values: Any) -> None:
        def decide(row: Task) -> dict[str, Any]:
            if row.status in FINAL:
                raise IllegalTransition(message=f"A {row.status} task cannot become {values['status']}.")
            return values

        self._change(decide)

    def write_report(self) -> None:
        """Write the reported values now. For :class:`~realtime.models.throttle.Throttle`."""

        def decide(row: Task) -> dict[str, Any]:
            if row.status == CANCELLED or (row.cancel_requested_at and row.status == RUNNING):
                self._working = True
                raise TaskCancelled
            if row.status != RUNNING:
                raise IllegalTransition(message=f"A {row.status} task cannot report.")
            return lease.renewal(row)

        self._change(decide)

    @contextmanager
    def unwritten(self) -> Iterator[Callable[[Task], dict[str, Any]]]:
        """Hand over a function that writes the lines that wait, and takes the last reported values.

        The locked row is to carry these.
        """
        if self._throttle is None and self._lines is None:
            yield lambda row: {}
            return
        with ExitStack() as stack:
            put = None if self._lines is None else stack.enter_context(self._lines.unwritten())
            take = None if self._throttle is None else stack.enter_context(self._throttle.unwritten())

            def carry(row: Task) -> dict[str, Any]:
                if row.status in FINAL:
                    return {}
                if put is not None:
                    put(row)
                return {} if take is None else _with_share(take(), row)

            yield carry

    def _change(self, decide: Callable[[Task], dict[str, Any]]) -> None:
        """Write what ``decide`` makes of the locked row, with the last reported values.

        Whatever fails, the last COMMIT too, this instance is as it was before: it says of itself what is so,
        and its work can still be ended.
        """
        task = cast("Task", self)
        model = type(task)
        using = router.db_for_write(model, instance=self)
        alone = not connections[using].in_atomic_block
        with unchanged_if_it_fails(task), self.unwritten() as take, transaction.atomic(using=using):
            rows = lock_rows(model, [self.pk], using)
            if not rows:
                raise model.DoesNotExist(f"Task {self.pk} is gone.")
            row = rows[0]
            decided = decide(row)
            values = {**take(row), **decided}
            for name, value in values.items():
                setattr(self, name, value)
            task.save_onto(row, set(values), using=using, alone=alone)

    async def astart(self) -> None:
        """Do what :meth:`start` does, from async code."""
        await sync_to_async(self.start)()

    async def areport(self, progress: float | None = None, **values: Any) -> None:
        """Do what :meth:`report` does, from async code."""
        await sync_to_async(self.report)(progress, **values)

    async def aadvance(self, n: int = 1) -> None:
        """Do what :meth:`advance` does, from async code."""
        await sync_to_async(self.advance)(n)

    async def alog(self, text: object, level: str = "info") -> None:
        """Do what :meth:`log` does, from async code."""
        await sync_to_async(self.log)(text, level)

    async def acomplete(self, result: Any = None) -> None:
        """Do what :meth:`complete` does, from async code."""
        await sync_to_async(self.complete)(result)

    async def afail(self, error: object = "", traceback: str = "") -> None:
        """Do what :meth:`fail` does, from async code."""
        await sync_to_async(self.fail)(error, traceback)

    async def acancel(self) -> None:
        """Do what :meth:`cancel` does, from async code."""
        await sync_to_async(self.cancel)()

    async def aretry(self) -> Task:
        """Do what :meth:`retry` does, from async code."""
        return await sync_to_async(self.retry)()


def _with_share(values: dict[str, Any], row: Task) -> dict[str, Any]:
    """Add the progress that follows from ``done`` of ``total``, unless it was reported itself."""
    if "progress" in values or not values.keys() & {"done", "total"}:
        return values
    share = transitions.percent(values.get("done", row.done), values.get("total", row.total))
    return values if share is None else {**values, "progress": share}
