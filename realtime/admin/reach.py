"""Whom a broadcast would reach at this moment: the clients that live processes have written down."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Count, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from realtime import log
from realtime.broadcasts import LEASE, alive
from realtime.conf import conf
from realtime.events import EVERYONE, GROUP, USERS
from realtime.models import Connection, Node

#: Connections that are counted at most.
CONNECTIONS = 20_000
#: Connected users at most of whom it is asked whether they are staff, or in a group; and at one time.
PEOPLE, BATCH = 5_000, 500


class Estimate(NamedTuple):
    """How many would be reached at ``at``: ``connections`` of ``users``.

    ``more``: there are more than were counted. ``nodes`` server processes live; ``silent`` ones have given no
    sign of life for longer than their lease, and their clients are not counted.
    """

    connections: int
    users: int
    more: bool
    nodes: int
    silent: int
    at: datetime

    @property
    def complete(self) -> bool:
        """Whether everybody of whom anything is known was counted."""
        return not (self.silent or self.more)

    @property
    def text(self) -> str:
        """The figures in words."""
        least = "more than " if self.more else ""
        return f"{least}{count(self.connections, 'connection')} of {count(self.users, 'user')}"

    @property
    def note(self) -> str:
        """What the figures are worth, in words."""
        if self.silent:
            of = count(self.nodes + self.silent, "server process", "server processes")
            verb = "are" if self.silent > 1 else "is"
            told = f"Incomplete: {self.silent:,} of {of} {verb} silent, and what it serves is not counted."
        elif not self.nodes:
            told = "Nobody is connected."
        elif self.more:
            told = "Incomplete: there are more than are counted here."
        else:
            verb = "are" if self.nodes > 1 else "is"
            told = f"Complete: {count(self.nodes, 'server process', 'server processes')} {verb} alive."
        return f"{told} Who came or left in the last {conf.CONNECTIONS_INTERVAL:g} s may be missing."


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def estimate(audience: dict[str, Any], since: datetime | None = None) -> Estimate:
    """Return whom a broadcast to ``audience`` would reach now, by a bounded number of bounded queries.

    With ``since``, only of those who were there then already.
    """
    using = log.database()
    rows = Connection.objects.using(using).filter(node_id__in=alive(using).order_by().values("pk"))
    if since is not None:
        rows = rows.filter(since__lte=since)
    if (kind := audience.get("kind")) in (EVERYONE, USERS):
        if kind == USERS:
            rows = rows.filter(user_id__in=audience["users"])
        connections, users, more = _all(rows)
    else:
        connections, users, more = _members(rows, audience)
    # By the database's clock, which wrote the times.
    silent = Node.objects.using(using).filter(seen_at__lte=Now() - timedelta(seconds=LEASE)).count()
    return Estimate(connections, users, more, alive(using).count(), silent, timezone.now())


def _all(rows: QuerySet[Connection]) -> tuple[int, int, bool]:
    found = rows[: CONNECTIONS + 1].aggregate(all=Count("pk"), users=Count("user_id", distinct=True))
    return min(found["all"], CONNECTIONS), found["users"], found["all"] > CONNECTIONS


def _members(rows: QuerySet[Connection], audience: dict[str, Any]) -> tuple[int, int, bool]:
    """Count those who are staff, or in a group. The users may be in another database than the clients."""
    per_user = dict(
        rows.values_list("user_id").annotate(count=Count("pk")).order_by("user_id")[: PEOPLE + 1],
    )
    user_ids = list(per_user)[:PEOPLE]
    mine: set[str] = set()
    for start in range(0, len(user_ids), BATCH):
        mine |= _of(user_ids[start : start + BATCH], audience)
    return sum(per_user[user_id] for user_id in mine), len(mine), len(per_user) > PEOPLE


def _of(user_ids: Collection[str], audience: dict[str, Any]) -> set[str]:
    model = get_user_model()
    users = model._default_manager.filter(pk__in=user_ids)
    if audience["kind"] != GROUP:
        # Asked of the object: a project's own user model may have no such column.
        return {str(user.pk) for user in users if getattr(user, "is_staff", False)}
    try:
        model._meta.get_field("groups")
    except FieldDoesNotExist:
        return set()
    return {str(pk) for pk in users.filter(groups=audience["group"]).values_list("pk", flat=True)}
