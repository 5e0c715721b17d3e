"""The list of tasks: its filters, and pages by key, so that the last page costs what the first does."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from realtime import log
from realtime.api.parameters import Parameters, wrong
from realtime.events import FINAL, STATUSES, Viewer
from realtime.models import Task

PAGE_SIZE, MOST = 50, 200
PARAMETERS = (
    "status",
    "owner",
    "active",
    "search",
    "created_after",
    "created_before",
    "retry_of",
    "cursor",
    "page_size",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([np])(-?[0-9]{1,18})\.([0-9a-f]{32})", re.ASCII)


class Place(NamedTuple):
    """Beside which task a page begins, and to which side of it the page lies."""

    created_at: datetime
    id: uuid.UUID
    newer: bool

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read a place as :meth:`written`. Raises ``InvalidValue``."""
        try:
            if not (parts := _CURSOR.fullmatch(text)):
                raise ValueError
            moment = _EPOCH + timedelta(microseconds=int(parts[2]))
            return cls(moment, uuid.UUID(parts[3]), parts[1] == "p")
        except (ValueError, OverflowError):
            raise wrong("cursor", "Take it from next or previous of a page.") from None

    @classmethod
    def beside(cls, task: Task, *, newer: bool) -> str:
        """Write the place on one side of ``task``."""
        micros = (task.created_at - _EPOCH) // timedelta(microseconds=1)
        return f"{'p' if newer else 'n'}{micros}.{task.pk.hex}"


class Page(NamedTuple):
    """Tasks, newest first, and the cursors of the pages beside this one."""

    tasks: list[Task]
    next: str | None
    previous: str | None


def visible(viewer: Viewer) -> QuerySet[Task]:
    """Return the tasks that may be seen.

    Read where the log is: on a replica the state could be older than the position given with it.
    """
    tasks: QuerySet[Task] = Task.objects.using(log.database())
    return tasks if viewer.view_all else tasks.filter(owner__pk=viewer.user_id)


def user_key(user_id: str) -> Any:
    """Return the key of a user whose id is written so, or None when no user's could be."""
    field: Any = get_user_model()._meta.pk
    try:
        # With its validators: a number beyond the column's is refused here, not by the database.
        key = field.clean(user_id, None)
    except ValidationError:
        return None
    return key if str(key) == user_id else None


def page(tasks: QuerySet[Task], asked: Parameters) -> Page:
    """Return the page that was asked for. Raises ``InvalidValue`` for a bad parameter."""
    size = asked.whole("page_size", 1, MOST, PAGE_SIZE)
    cursor = asked.one("cursor")
    place = None if cursor is None else Place.parse(cursor)
    tasks = _filtered(tasks, asked)
    newer = place is not None and place.newer
    if place is not None:
        tasks = tasks.filter(_beyond(place))
    # One more tells whether there is more.
    found = list(tasks.order_by(*(("created_at", "id") if newer else ("-created_at", "-id")))[: size + 1])
    more, shown = len(found) > size, found[:size]
    if newer:
        shown.reverse()
    older_there, newer_there = (True, more) if newer else (more, place is not None)
    return Page(
        shown,
        Place.beside(shown[-1], newer=False) if shown and older_there else None,
        Place.beside(shown[0], newer=True) if shown and newer_there else None,
    )


def _beyond(place: Place) -> Q:
    # The first condition alone is what an index can begin with.
    if place.newer:
        return Q(created_at__gte=place.created_at) & (Q(created_at__gt=place.created_at) | Q(id__gt=place.id))
    return Q(created_at__lte=place.created_at) & (Q(created_at__lt=place.created_at) | Q(id__lt=place.id))


def _filtered(tasks: QuerySet[Task], asked: Parameters) -> QuerySet[Task]:
    conditions: dict[str, Any] = {}
    if statuses := asked.words("status", STATUSES):
        conditions["status__in"] = set(statuses)
    if (active := asked.flag("active")) is not None:
        tasks = tasks.exclude(status__in=FINAL) if active else tasks.filter(status__in=FINAL)
    if search := asked.one("search"):
        conditions["name__istartswith"] = search
    if (since := asked.moment("created_after")) is not None:
        conditions["created_at__gte"] = since
    if (until := asked.moment("created_before")) is not None:
        conditions["created_at__lt"] = until
    if (origin := asked.uuid("retry_of")) is not None:
        conditions["retry_of"] = origin
    if (owner := asked.one("owner")) is not None:
        key = user_key(owner)
        tasks = tasks.none() if key is None else tasks.filter(owner=key)
    return tasks.filter(**conditions)
