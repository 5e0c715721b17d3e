"""The task that a queue's job reports to; outside of one, something that takes reports and does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime.current import current_task

if TYPE_CHECKING:
    from realtime.models import Task


class NoTask:
    """Takes what a task is told, and tells nobody: a job's function can be called from a test or a shell."""

    id = pk = None

    def __bool__(self) -> bool:
        return False

    def report(self, progress: float | None = None, **values: Any) -> None:
        """Do nothing."""

    def advance(self, n: int = 1) -> None:
        """Do nothing."""

    def log(self, text: object, level: str = "info") -> None:
        """Do nothing."""

    async def areport(self, progress: float | None = None, **values: Any) -> None:
        """Do nothing."""

    async def aadvance(self, n: int = 1) -> None:
        """Do nothing."""

    async def alog(self, text: object, level: str = "info") -> None:
        """Do nothing."""


_NO_TASK = NoTask()


def current_task_status() -> Task | NoTask:
    """Return the task of the job that runs this code; never None, so that it can always be reported to.

    current_task_status().report(done=3, total=10)
    """
    return current_task() or _NO_TASK
