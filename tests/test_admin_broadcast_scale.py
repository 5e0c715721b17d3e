"""Broadcasts in the admin when there are very many: of them, of clients, and of users."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.admin.listing import REACH
from realtime.admin.reach import CONNECTIONS, PEOPLE, estimate
from realtime.models import Broadcast, Connection, Node
from tests.plans import DIALECTS, complaint

LIST = "/admin/realtime/broadcast/"
MANY = 2 * REACH + 500
#: A time so many minutes after now, or before.
MINUTES = {
    "sqlite": "datetime('now', ({}) || ' minutes')",
    "postgresql": "now() + ({}) * interval '1 minute'",
}


def multiply(engine: str, row: Model, rows: int, **columns: str) -> None:
    """Write so many copies of a row, numbered ``i``, with other values in these columns."""
    vendor, table = connections[engine].vendor, row._meta.db_table
    columns = {"id": DIALECTS[vendor]["id"], **columns}
    names = [field.column for field in row._meta.concrete_fields]
    values = [columns.get(name, f'"{table}"."{name}"') for name in names]
    with connections[engine].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) "
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
            f"SELECT {', '.join(values)} FROM {table}, n"
        )
        cursor.execute(f"ANALYZE {table}")


@pytest.fixture
def sent(engine: str) -> None:
    """More broadcasts than a list reaches back: most are over, many still shown, a few scheduled."""
    at = MINUTES[connections[engine].vendor]
    created, later = at.format("-i - 70"), at.format("60")
    now = timezone.now()
    row = Broadcast.objects.create(message="Soon.", published_at=now, ends_at=now)
    multiply(
        engine,
        row,
        MANY,
        created_at=created,
        starts_at=created,
        ends_at=f"CASE WHEN i % 3 = 0 OR i % 1000 = 1 THEN {later} ELSE {at.format('-i - 10')} END",
        published_at=f"CASE WHEN i % 1000 <> 1 THEN {created} END",
    )


def test_the_history_reads_along_an_index(engine: str, sent: None, make_user: Callable[..., Any]) -> None:
    """Whole, by state and by time, and no page reads more than the list reaches back."""
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    last = Broadcast.objects.order_by("created_at")[0]
    day = f"{last.created_at:%Y-%m-%d}"
    wrong = {}
    for path in (
        *("", "?p=99", "?state=sent", "?state=scheduled", "?o=5", "?state=sent&o=2"),
        f"?created_at__gte={day}+00:00:00Z&created_at__lt={day}+23:59:59Z",
        *(f"{last.pk}/change/", f"{last.pk}/progress/"),
    ):
        with CaptureQueriesContext(connections[engine]) as queries:
            assert client.get(f"{LIST}{path}").status_code == 200, path
        assert len(queries) <= 12
        for query in queries.captured_queries:
            found = complaint(engine, query["sql"]) if 'FROM "realtime_' in query["sql"] else ""
            # In this index is nothing but what is scheduled.
            if found and "realtime_broadcast_due" not in found:
                wrong[f"{path}: {query['sql']}"] = found
    assert wrong == {}


@pytest.mark.requirement("C7")
def test_the_reach_of_a_crowd_is_counted_up_to_a_bound(engine: str, make_user: Callable[..., Any]) -> None:
    """And says that there are more; whatever the audience, by a bounded number of statements."""
    now = timezone.now()
    node = Node.objects.create(host="web", pid=1, started_at=now, seen_at=now)
    values = {"transport": "websocket", "format": "json", "address": "::1", "position": 0}
    ids = {"id": uuid.uuid4(), "node_id": node.pk, "user_id": "0", "since": now, "seen_at": now}
    row = Connection.objects.create(**ids, **values)
    multiply(engine, row, CONNECTIONS + 10, user_id=f"CAST(i % {PEOPLE + 10} AS varchar(64))")
    everyone = estimate({"kind": "everyone"})
    assert (everyone.connections, everyone.more, everyone.complete) == (CONNECTIONS, True, False)
    assert everyone.text.startswith(f"more than {CONNECTIONS:,} connections of ")
    with CaptureQueriesContext(connections[engine]) as queries:
        staff = estimate({"kind": "staff"})
    assert (staff.connections, staff.more) == (0, True)
    assert len(queries) <= 15
