"""The admin on tables of any size: what a page reads has a bound, so it costs what a small one costs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from realtime import log
from realtime.admin.listing import ACTION_LIMIT, REACH
from realtime.admin.search import SEARCH_LIMIT
from realtime.models import Event, Task
from tests.plans import DIALECTS, complaint

TASKS, EVENTS = "/admin/realtime/task/", "/admin/realtime/event/"
SMALL, LARGE = 1_200, 24_000
#: Statements of a page at most; the dashboard is several lists and charts.
QUERIES, QUERIES_OF_MANY = 10, 24
#: A task that has half of all events, the older half: an index of positions alone finds them last.
BUSY = uuid.uuid4()
#: So are most failed tasks, and those of one owner and of one name, the oldest.
FILL_TASKS = """
    WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
    INSERT INTO realtime_task (id, name, status, progress, done, phase, message, error, traceback, version,
                               created_at, updated_at, finished_at, owner_id)
    SELECT {id}, CASE WHEN i < {last} / 2 THEN 'nightly import' ELSE 'export ' || i END,
           CASE WHEN i % 4000 = 7 THEN 'running' WHEN i < {last} / 2 THEN 'failed' ELSE 'completed' END,
           50, 3, 'phase', 'a message', '', '', 3, {time}, {time}, {now},
           CASE WHEN i < {last} / 2 THEN {owner} END
    FROM n
"""
FILL_EVENTS = """
    WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
    INSERT INTO realtime_event (position, kind, task_id, owner, previous_owner, version, data, created_at)
    SELECT {start} + i, CASE WHEN i < {last} / 2 THEN 'task_update' ELSE 'task_deleted' END,
           CASE WHEN i < {last} / 2 THEN '{busy}' ELSE 'task ' || i END, '', '', 1,
           '{{"status": "running", "progress": 5, "message": "hello"}}', {time}
    FROM n
"""
PAGES = {
    "list": TASKS,
    "last page": f"{TASKS}?p=24",
    "oldest first": f"{TASKS}?o=5",
    "another order": f"{TASKS}?o=1",
    "a frequent status": f"{TASKS}?status__exact=failed",
    "a rare status": f"{TASKS}?status__exact=running",
    "a status nobody has": f"{TASKS}?status__exact=pending",
    "a status, oldest first": f"{TASKS}?status__exact=completed&o=5",
    "a time": f"{TASKS}?created_at__gte=2026-01-01+00:00:00Z&created_at__lt=2026-01-01+01:00:00Z",
    "a frequent name": f"{TASKS}?q=nightly+import",
    "the beginning of names": f"{TASKS}?q=export+1",
    "a name nobody has": f"{TASKS}?q=none",
    "an owner": f"{TASKS}?q=worker",
    "an id": f"{TASKS}?q={BUSY}",
    "a name and a status": f"{TASKS}?q=export&status__exact=running",
    "a task": f"{TASKS}{BUSY}/change/",
    "the dashboard": "/admin/realtime/live/",
    "its panels": "/admin/realtime/live/panels/",
    "counts by status": f"{TASKS}counts/",
    "events": EVENTS,
    "oldest events": f"{EVENTS}?o=0",
    "a kind": f"{EVENTS}?kind__exact=task_update",
    "a kind that never was": f"{EVENTS}?kind__exact=broadcast",
    "a task's events": f"{EVENTS}?q={BUSY}",
    "a position": f"{EVENTS}?q=77",
}


@pytest.fixture
def fill(engine: str, make_user: Callable[..., Any]) -> Callable[[int], None]:
    """Make there be so many tasks and events."""
    owner, vendor = make_user("worker"), connections[engine].vendor
    start = log.position() - 2 * LARGE  # older than what the test itself does
    have = 0

    def upto(rows: int) -> None:
        nonlocal have
        values = {"first": have + 1, "last": rows, "owner": owner.pk, "busy": BUSY, "start": start}
        with connections[engine].cursor() as cursor:
            for statement in (FILL_TASKS, FILL_EVENTS):
                cursor.execute(statement.format(**values, **DIALECTS[vendor]))
            # What an operator's database knows of itself, be it that a column holds one value only.
            for table in ("realtime_task", "realtime_event"):
                cursor.execute(f"ANALYZE {table}")
        have = rows

    return upto


@pytest.fixture
def admin(make_user: Callable[..., Any]) -> Client:
    """A logged-in member of the staff who may do everything."""
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    return client


def seconds(client: Client, url: str, enough: float = 0) -> float:
    """How long a page takes at best; of twice, or of up to ten times until it is no more than `enough`."""
    times: list[float] = []
    while len(times) < 2 or (enough and min(times) > enough and len(times) < 10):
        start = time.perf_counter()
        assert client.get(url).status_code == 200, url
        times.append(time.perf_counter() - start)
    return min(times)


def test_no_page_reads_or_counts_a_whole_table(
    engine: str, fill: Callable[[int], None], admin: Client
) -> None:
    """Each statement follows an index and reads at most what the list reaches back, of more than twice that.

    And twenty times the rows do not make a page slower than a small factor.
    """
    Task.objects.create(id=BUSY, name="busy")
    fill(SMALL)
    before = {name: seconds(admin, url) for name, url in PAGES.items()}
    fill(LARGE)
    wrong, slow = {}, {}
    for name, url in PAGES.items():
        with CaptureQueriesContext(connections[engine]) as queries:
            cache.clear()  # what is kept for some seconds has to be read as well
            assert admin.get(url).status_code == 200
        assert len(queries) <= (QUERIES_OF_MANY if name in ("the dashboard", "its panels") else QUERIES)
        for query in queries.captured_queries:
            if 'FROM "realtime_' in query["sql"] and (found := complaint(engine, query["sql"])):
                wrong[f"{name}: {query['sql'][:2000]}"] = found
        ratio = seconds(admin, url, 5 * before[name]) / before[name]
        if ratio > 5:
            slow[name] = ratio
    assert wrong == {}
    assert slow == {}


def test_a_list_says_when_there_is_more(engine: str, fill: Callable[[int], None], admin: Client) -> None:
    """Nothing is shown as the whole that is not: not the pages, not a search, not a selection."""
    fill(LARGE)
    response = admin.get(TASKS)
    html, changes = response.content.decode(), response.context["cl"]
    assert (changes.result_count, changes.paginator.num_pages) == (REACH, REACH // 50)
    assert "There are more" in html
    assert "across all pages" not in html
    assert admin.get(f"{TASKS}?p={REACH // 50}").status_code == 200
    assert admin.get(f"{TASKS}?p={REACH // 50 + 1}").status_code == 302
    few = admin.get(f"{TASKS}?status__exact=running")
    assert "There are more" not in few.content.decode()
    assert few.context["cl"].result_count == Task.objects.filter(status="running").count()
    found = admin.get(f"{TASKS}?q=nightly+import")
    assert found.context["cl"].result_count == SEARCH_LIMIT
    [message] = found.context["messages"]
    assert str(message).startswith(f"Only {SEARCH_LIMIT:,} of the tasks found are shown")
    newest = Task.objects.filter(name="nightly import").order_by("-created_at").values_list("pk", flat=True)
    assert [task.pk for task in found.context["cl"].result_list] == list(newest[:50])
    before = Event.objects.count()
    for action in ("delete_selected", "cancel_selected", "retry_selected"):
        fields = {"action": action, "select_across": "1", "post": "yes", "_selected_action": [str(BUSY)]}
        response = admin.post(f"{TASKS}?status__exact=completed", fields, follow=True)
        [message] = response.context["messages"]
        assert str(message) == f"Nothing was done: choose at most {ACTION_LIMIT} at a time."
    assert Event.objects.count() == before
