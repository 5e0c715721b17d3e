"""The lease of a running task: renewed while its worker lives, so that its end shows that it died.

``start()`` takes one of ``LEASE_SECONDS``. One thread per process renews those of all tasks whose working
instance is alive there; so a worker need not report to keep its task, and whoever is killed, or drops the
instance after an exception, loses it. A task that was set running otherwise has none and is never marked.

Half of a lease is the measure: one that has less than that left is *overdue*. A living worker never lets it
come to that, its next write would renew it, and :mod:`realtime.leases` begins to watch it. Renewals are no
events: a lease is private.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models, router, transaction
from django.utils import timezone

from realtime import log
from realtime.conf import conf
from realtime.events import FINAL, RUNNING

if TYPE_CHECKING:
    from realtime.models.task import Task

logger = logging.getLogger("realtime.leases")

#: Shares of a lease: between two renewals, and before a renewal that did not reach every row is repeated.
PERIOD, RETRY = 1 / 3, 1 / 10
#: Tasks renewed by one statement.
CHUNK = 500


def half() -> float:
    """Return half of a lease, in seconds."""
    return float(conf.LEASE_SECONDS) / 2


def new_expiry() -> datetime:
    """Return when a lease that is taken now ends."""
    return timezone.now() + timedelta(seconds=conf.LEASE_SECONDS)


def overdue_before() -> datetime:
    """Return the end before which a lease is overdue now."""
    return timezone.now() + timedelta(seconds=half())


def renewal(row: Task) -> dict[str, Any]:
    """Return what a write of the worker brings with it: nothing, unless the lease is overdue."""
    expires = row.lease_expires_at
    if row.status != RUNNING or expires is None or expires >= overdue_before():
        return {}
    return {"lease_expires_at": new_expiry()}


def keep(task: Task) -> None:
    """Renew the task's lease from now on, for as long as this instance lives and says it is not finished."""
    if not _keeper.holds(task):
        _keeper.hold(task)


def renew(model: type[Task], pks: list[Any], using: str) -> int:
    """Renew the leases of running tasks, but of rows that somebody has locked; return how many.

    The worker itself may hold its row in a long transaction: the others must not expire meanwhile.
    """
    with transaction.atomic(using=using):
        log.begin_write(using)
        rows: models.QuerySet[Task] = models.QuerySet(model, using=using)
        held = rows.filter(pk__in=pks, status=RUNNING, lease_expires_at__isnull=False)
        if connections[using].features.has_select_for_update_skip_locked:
            free = held.order_by().select_for_update(skip_locked=True)
            held = rows.filter(pk__in=list(free.values_list("pk", flat=True)))
        return held.update(lease_expires_at=new_expiry())


class Keeper:
    """One thread for all leases of the process; it ends when there is nothing to renew.

    Not the thread of the reports: a report waits for the row that its worker's transaction has locked.
    Instances are known weakly, and a database connection lasts for one round.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held: dict[int, tuple[weakref.ref[Task], str]] = {}
        self._thread: threading.Thread | None = None
        self._failing = self._ended = False

    def holds(self, task: Task) -> bool:
        """Tell whether this instance is known, without waiting: each report asks."""
        held = self._held.get(id(task))
        return held is not None and held[0]() is task

    def hold(self, task: Task) -> None:
        """Renew this task's lease with the others'."""
        with self._condition:
            using = router.db_for_write(type(task), instance=task)
            self._held[id(task)] = (weakref.ref(task), using)
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._run, name="realtime-lease", daemon=True)
                self._thread.start()
            self._condition.notify()

    def end(self) -> None:
        """Renew nothing more; at the end of the process."""
        with self._condition:
            self._ended, thread = True, self._thread
            self._condition.notify()
        if thread is not None:
            thread.join(1)

    def _run(self) -> None:
        due = time.monotonic() + conf.LEASE_SECONDS * PERIOD
        while self._wait(due):
            share = PERIOD if self._renew() else RETRY
            due = time.monotonic() + conf.LEASE_SECONDS * share

    def _wait(self, due: float) -> bool:
        """Wait for the next round; False when there is none, because nothing is held."""
        with self._condition:
            while not self._ended and (wait := due - time.monotonic()) > 0:
                if self._condition.wait(wait):
                    # What was taken just now may be shorter, if the setting has changed.
                    due = min(due, time.monotonic() + conf.LEASE_SECONDS * PERIOD)
            self._held = {key: held for key, held in self._held.items() if _works(held[0]())}
            if self._held and not self._ended:
                return True
            self._thread = None
            return False

    def _renew(self) -> bool:
        """Renew every lease; False when some were not: locked, not committed, finished, or no database."""
        with self._condition:
            instances = [(instance(), using) for instance, using in self._held.values()]
        tasks: defaultdict[tuple[type[Task], str], set[Any]] = defaultdict(set)
        for task, using in instances:
            if task is not None:
                tasks[type(task), using].add(task.pk)
        try:
            reached = [_renew_all(model, pks, using) for (model, using), pks in tasks.items()]
            self._failing = False
            return all(reached)
        except Exception as error:
            if not self._failing:
                logger.warning("Leases of running tasks could not be renewed: %r", error)
            self._failing = True
            return False
        finally:
            connections.close_all()


def _renew_all(model: type[Task], pks: Iterable[Any], using: str) -> bool:
    wanted = list(pks)
    chunks = (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK))
    return sum(renew(model, chunk, using) for chunk in chunks) == len(wanted)


def _works(task: Task | None) -> bool:
    """Tell whether an instance is there and not finished; of a deferred status that is not known."""
    return task is not None and task.__dict__.get("status") not in FINAL


_keeper = Keeper()
atexit.register(lambda: _keeper.end())


def _fork() -> None:
    """A forked child has neither the thread nor the parent's work."""
    global _keeper
    _keeper = Keeper()


os.register_at_fork(after_in_child=_fork)
