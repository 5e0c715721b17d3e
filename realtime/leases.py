"""Workers that died: a running task whose lease has ended is marked as failed, once, by who sees it first.

A lease that has ended is no proof yet. The database may have been away, or its lock held by somebody, so
that nobody could renew; and the clocks of two machines may differ. So whoever is to mark a task has watched
its lease for half its length, from where it was overdue: a living worker would have renewed it meanwhile. A
process that has watched all along marks a task as its lease ends; one that has just started, later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import connections, models, transaction
from django.utils import timezone

from realtime import log
from realtime.conf import conf
from realtime.events import FAILED, RUNNING
from realtime.exceptions import RealtimeError
from realtime.models import Task
from realtime.models.lease import half, overdue_before

logger = logging.getLogger("realtime.leases")

#: The error of a task whose worker died.
WORKER_LOST = "The worker stopped reporting."
#: Leases watched at a time, and tasks marked in one look.
WATCHED, MARKED = 1000, 100

Lease = tuple[Any, datetime | None]


class Watch:
    """What one process has seen of overdue leases; ``look`` at them every ``LOG_CHECK_INTERVAL``."""

    def __init__(self) -> None:
        #: Since when a lease could have been renewed, and was not: a reading of the monotonic clock.
        self._since: dict[Lease, float] = {}

    @property
    def undecided(self) -> bool:
        """Whether there are leases that have ended and must be watched for some time yet."""
        return any(end is not None and end <= timezone.now() for _, end in self._since)

    def look(self, using: str | None = None) -> int:
        """Mark the tasks whose worker is dead; return how many. Costs one query while nothing is overdue."""
        using = using or log.database()
        # Whatever fails below, nothing counts as watched then: nobody may have been able to renew.
        watched, self._since = self._since, {}
        began = time.monotonic()
        overdue = list(_overdue(using).values_list("pk", "lease_expires_at")[:WATCHED])
        if not overdue:
            return 0
        with transaction.atomic(using=using):
            free = {(row.pk, row.lease_expires_at): row for row in _lock(using, [pk for pk, _ in overdue])}
            now = time.monotonic()
            if now - began > half() / 2:
                # Who would renew had to wait as well: they first.
                return 0
            # Locked rows: of those that are watched, another process may be looking at them; of the others,
            # their worker's transaction may have them, so that nobody could renew.
            since = {one: watched.get(one, now) for one in overdue if one in watched or one in free}
            due = [row for one, row in free.items() if now - since.get(one, now) >= half() and _ended(row)]
            marked = sum(_mark(row, using) for row in due[:MARKED])
        self._since = since
        return marked


def expire(using: str | None = None) -> int:
    """Mark the tasks whose worker is dead, where no server process does; return how many.

    Returns at once when no lease has ended, else after half of ``LEASE_SECONDS``.
    """
    watch = Watch()
    marked = watch.look(using)
    deadline = time.monotonic() + 2 * half()
    while watch.undecided and time.monotonic() < deadline:
        time.sleep(min(conf.LOG_CHECK_INTERVAL, half() / 5))
        marked += watch.look(using)
    return marked


def _overdue(using: str) -> models.QuerySet[Task]:
    rows: models.QuerySet[Task] = models.QuerySet(Task, using=using)
    return rows.filter(status=RUNNING, lease_expires_at__lt=overdue_before()).order_by("lease_expires_at")


def _lock(using: str, pks: Collection[Any]) -> list[Task]:
    """Lock the rows that are free, as who renews must; of the rest somebody else will see to it."""
    log.begin_write(using)
    rows: models.QuerySet[Task] = models.QuerySet(Task, using=using)
    rows = rows.filter(pk__in=pks, status=RUNNING).order_by("pk")
    if connections[using].features.has_select_for_update:
        skip = connections[using].features.has_select_for_update_skip_locked
        rows = rows.select_for_update(skip_locked=skip)
    return list(rows.only("status", "lease_expires_at"))


def _ended(row: Task) -> bool:
    return row.lease_expires_at is not None and row.lease_expires_at <= timezone.now()


def _mark(row: Task, using: str) -> bool:
    """Mark one task, whose row is locked; one that cannot be must not keep the others from it."""
    row.status, row.error = FAILED, WORKER_LOST
    try:
        with transaction.atomic(using=using):
            row.save(using=using)
    except RealtimeError:
        logger.exception("Task %s, whose worker died, could not be marked.", row.pk)
        return False
    logger.warning("Task %s has failed: its worker stopped reporting.", row.pk)
    return True
