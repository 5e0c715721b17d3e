"""Search among tasks by id, owner and name: each a walk along an index, up to a bound."""

from __future__ import annotations

import sys
import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import F, OrderBy, Q, QuerySet

from realtime.admin.listing import along

#: How many tasks a search finds at most: a few pages. With many times a page PostgreSQL would look for the
#: found keys along the index of the list's order, which may have to be read to its end.
SEARCH_LIMIT = 200


class _CodePoints(OrderBy):
    """The order of code points: that of SQLite, and in PostgreSQL that of an index for prefixes."""

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Name the operator of ``varchar_pattern_ops``, the index's operator class."""
        # The comment is for Django, which looks for the direction of every order.
        return self.as_sql(compiler, connection, template="%(expression)s USING ~<~ /* ASC */")


def find(tasks: QuerySet[Any], term: str) -> tuple[QuerySet[Any], bool]:
    """Return those of ``tasks`` that match, and whether there are more than ``SEARCH_LIMIT``.

    An id finds the task and its retries; other words find the tasks of the owner with this username, the
    newest first, and those whose name begins so: first those with just this name, the newest first.
    """
    ids: dict[Any, None] = {}
    for matching in _matching(tasks, term):
        ids |= dict.fromkeys(matching.values_list("pk", flat=True)[: SEARCH_LIMIT + 1])
        if len(ids) > SEARCH_LIMIT:
            break
    # By key: joined with OR, the conditions could make the database read every row instead.
    return tasks.filter(pk__in=list(ids)[:SEARCH_LIMIT]), len(ids) > SEARCH_LIMIT


def _matching(tasks: QuerySet[Any], term: str) -> list[QuerySet[Any]]:
    try:
        task_id = uuid.UUID(term)
    except ValueError:
        users = get_user_model()
        owners = users._default_manager.filter(**{users.USERNAME_FIELD: term}).values_list("pk", flat=True)
        owned = [along(tasks, "owner_id", owner, "-created_at") for owner in owners]
        return [*owned, starting(tasks, "name", term, "-created_at")]
    return [tasks.filter(pk=task_id), tasks.filter(retry_of=task_id).order_by()]


def starting(rows: QuerySet[Any], column: str, term: str, *then: str) -> QuerySet[Any]:
    """Return the rows whose ``column`` begins with ``term``, along an index for prefixes."""
    return rows.filter(_begins(column, term, rows.db)).order_by(_CodePoints(F(column)), *then)


def _begins(column: str, term: str, using: str) -> Q:
    """Return the condition that a column begins with ``term``, in the form that can use the index."""
    if connections[using].vendor != "sqlite":
        return Q((f"{column}__startswith", term))
    # SQLite's LIKE ignores case and therefore the index, which is in the order of code points.
    last = ord(term[-1])
    if last == sys.maxunicode:
        return Q((f"{column}__gte", term))
    after = "\ue000" if last + 1 == 0xD800 else chr(last + 1)
    return Q((f"{column}__gte", term), (f"{column}__lt", term[:-1] + after))
