"""Letting old events go, and starting over: the two ways in which the floor moves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from realtime import metrics
from realtime.log.head import (
    Head,
    database,
    last_position,
    lock_head,
    microseconds,
    move_head,
    read_head,
    retried,
    start,
)
from realtime.models.log import Event

logger = logging.getLogger("realtime.log")


def rebase(
    still_wrong: Callable[[Head], bool] | None = None, above: int = 0, using: str | None = None
) -> Head:
    """Move both ends of the log to now, so that every older cursor gets a plain ``reset``.

    For a log that was restored or damaged. ``still_wrong`` is asked under the lock, so that of many
    processes that notice the damage only one moves the log; ``above`` is a position that was seen, and
    must be left behind whatever the clock says.
    """
    alias = using or database()

    def move() -> Head:
        with transaction.atomic(using=alias):
            head = lock_head(alias)
            if still_wrong is not None and not still_wrong(head):
                return head
            to = max(microseconds(), head.position + 1, last_position(alias) + 1, above + 1)
            move_head(alias, position=to, floor=to)
            metrics.REBASES.inc()
            logger.error("The event log was rebased from %s to %s.", head.position, to)
            return Head(to, to)

    return retried(move)


def prune(before: datetime, keep: int, *, using: str | None = None, chunk: int = 10_000) -> int:
    """Delete a prefix of the log: events older than ``before``, and all but the last ``keep``.

    Only a prefix goes, up to the lowest position that is still young, and never a row without a
    position; the floor moves in the same transaction. Returns the number of rows deleted.
    """
    alias = using or database()
    # Once is enough: what is old stays old, and the end of the log only grows.
    goal = _goal(alias, before, keep)
    deleted = 0
    while removed := retried(lambda: _prune_chunk(alias, goal, chunk)):
        deleted += removed
    return deleted


def _goal(using: str, before: datetime, keep: int) -> int:
    """Return the position up to which everything is old, or more than is kept."""
    head = read_head(using) or start(using)
    young = (
        _positioned(using)
        .filter(created_at__gte=before, position__gt=head.floor, position__lte=head.position)
        .order_by("position")
        .values_list("position", flat=True)
        .first()
    )
    by_age = head.position if young is None else young - 1
    return max(by_age, head.position - keep, head.floor)


def _prune_chunk(using: str, goal: int, chunk: int) -> int:
    with transaction.atomic(using=using):
        head = lock_head(using)
        doomed = list(
            _positioned(using)
            .filter(position__lte=goal)
            .order_by("position")
            .values_list("position", flat=True)[:chunk]
        )
        floor = goal if len(doomed) < chunk else doomed[-1] or goal
        if floor > head.floor:
            move_head(using, floor=floor)
        if not doomed:
            return 0
        return _positioned(using).filter(position__lte=doomed[-1])._raw_delete(using)


def _positioned(using: str) -> QuerySet[Event]:
    return Event.objects.using(using).exclude(position=None)
