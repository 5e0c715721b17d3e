"""How long a task has taken, how fast it is, and how long it may still take. Pure, no Django.

Nothing of it is stored: it follows from when the task started, what is done, and the clock. So it is the
same in every process, after every restart, and a client computes it from the fields of an update.

The rate is that of the whole run. A rate of the last seconds would need samples, which another process does
not have, and it jumps with every pause; the mean needs two numbers, and means what it says. It counts up to
now, not up to the last report: while nothing is reported the estimate grows, as it should.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from realtime.events import RUNNING


class Pace(NamedTuple):
    """Seconds, things per second, seconds; None is "nobody can know"."""

    elapsed: float | None = None
    throughput: float | None = None
    eta: float | None = None


def pace(
    *,
    now: datetime,
    started_at: datetime | None,
    finished_at: datetime | None,
    status: str,
    done: int,
    total: int | None,
    progress: int,
) -> Pace:
    """Return the pace of a task.

    ``elapsed`` is None before the start and fixed after the end. ``throughput`` is None when nothing is
    counted, or no time has passed. ``eta`` is for running tasks: from ``done`` of ``total`` where both are
    known, else from the percentage; None while neither has moved, and when more is done than there is in all.
    """
    if started_at is None:
        return Pace()
    # Never negative: the clocks of two machines may differ.
    elapsed = max(0.0, ((finished_at or now) - started_at).total_seconds())
    counted = done > 0 or bool(total)
    throughput = done / elapsed if counted and elapsed else None
    eta = _eta(elapsed, _share(done, total, progress)) if status == RUNNING else None
    return Pace(elapsed, throughput, eta)


def _share(done: int, total: int | None, progress: int) -> float | None:
    """Return how much of the work is done, above 0 and at most 1, or None."""
    if total and done:
        return done / total if done <= total else None
    return progress / 100 if progress > 0 else None


def _eta(elapsed: float, share: float | None) -> float | None:
    if share is None or not elapsed:
        return None
    return elapsed * (1 - share) / share
