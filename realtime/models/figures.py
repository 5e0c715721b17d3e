"""The figures of a task that are computed, not stored: how long, how fast, and how long yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.utils import timezone

from realtime.pace import Pace, pace

if TYPE_CHECKING:
    from realtime.models.task import Task


class Figures:
    """A part of ``Task``; :mod:`realtime.pace` has the rules."""

    @property
    def pace(self) -> Pace:
        """All three figures of one moment."""
        task = cast("Task", self)
        return pace(
            now=timezone.now(),
            started_at=task.started_at,
            finished_at=task.finished_at,
            status=task.status,
            done=task.done,
            total=task.total,
            progress=task.progress,
        )

    @property
    def elapsed(self) -> float | None:
        """Seconds since the start, or from the start to the end; None before the start."""
        return self.pace.elapsed

    @property
    def throughput(self) -> float | None:
        """Things done per second, over the whole run; None when nothing is counted."""
        return self.pace.throughput

    @property
    def eta(self) -> float | None:
        """Seconds that the task may still take; None when nobody can know."""
        return self.pace.eta
