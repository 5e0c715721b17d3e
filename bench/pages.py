"""What is run inside the site that :mod:`bench.admin` measures: fill its tables, and ask for a page."""

from __future__ import annotations

import time
from functools import cache

from django.contrib.auth import get_user_model
from django.core.cache import cache as kept
from django.db import connection
from django.test import Client

from realtime import log
from realtime.models import Task

TASKS = "/admin/realtime/task/"
USERS = 1_000
#: One in so many tasks is new: created within the last hour; of these some wait, run or have failed.
NEW = 250
FILL_USERS = """
    INSERT INTO auth_user (username, password, email, first_name, last_name, date_joined,
                           is_active, is_staff, is_superuser)
    SELECT 'user' || i, '', '', '', '', now(), true, false, false FROM generate_series(1, %(users)s) AS i
"""
FILL_TASKS = """
    WITH n AS (
        SELECT i, CASE WHEN i %% %(new)s = 0 THEN now() - (i / %(new)s %% 3600) * interval '1 second'
                       ELSE now() - interval '1 hour' - (i %% 365) * interval '1 day'
                            - (i %% 86400) * interval '1 second' END AS at,
               CASE WHEN i %% (%(new)s * 8) = 0 THEN 'pending' WHEN i %% (%(new)s * 4) = 0 THEN 'running'
                    WHEN i %% 41 = 0 THEN 'failed' WHEN i %% 67 = 0 THEN 'cancelled'
                    ELSE 'completed' END AS status
        FROM generate_series(1, %(rows)s) AS i
    )
    INSERT INTO realtime_task (id, name, status, progress, total, done, phase, message, error, traceback,
                               version, created_at, updated_at, started_at, finished_at, owner_id)
    SELECT gen_random_uuid(),
           (ARRAY['Nightly import', 'Export of orders', 'Report', 'Stock'])[1 + i %% 4] || ', part ' || i,
           status, CASE status WHEN 'completed' THEN 100 WHEN 'pending' THEN 0 ELSE 40 END, 5000, 2000,
           'Reading', 'row 2,000', CASE status WHEN 'failed' THEN 'The disk is full.' ELSE '' END, '', 5,
           at, at + interval '40 s', CASE WHEN status <> 'pending' THEN at END,
           CASE WHEN status NOT IN ('pending', 'running') THEN at + interval '40 s' END,
           first + i %% %(users)s
    FROM n, (SELECT min(id) AS first FROM auth_user WHERE username LIKE 'user%%') AS users
"""
FILL_EVENTS = """
    INSERT INTO realtime_event (position, kind, task_id, owner, previous_owner, version, data, created_at)
    SELECT %(start)s + row_number() OVER (), 'task_update', id::text, owner_id::text, '', 5,
           '{"status": "completed", "progress": 100, "message": "row 5,000"}', updated_at
    FROM realtime_task
"""


def fill(rows: int) -> None:
    """Make so many tasks with an event each, and let the database know of them what it usually does."""
    values = {"rows": rows, "users": USERS, "new": NEW, "start": log.position() - 2 * rows}
    with connection.cursor() as cursor:
        for statement in (FILL_USERS, FILL_TASKS, FILL_EVENTS):
            cursor.execute(statement, values)
        for table in ("auth_user", "realtime_task", "realtime_event"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def urls() -> dict[str, str]:
    """Return the pages by what they show."""
    task = Task.objects.filter(status="failed").order_by("-created_at").values_list("pk", flat=True)[0]
    pages = {"the list, first page": TASKS, "the list, last page": f"{TASKS}?p=100"}
    pages |= {
        f"status {status}": f"{TASKS}?status__exact={status}" for status in ("pending", "running", "failed")
    }
    pages |= {
        "status completed": f"{TASKS}?status__exact=completed",
        "created today": f"{TASKS}?created_at__gte={time.strftime('%Y-%m-%d')}+00:00:00Z",
        "a name, exactly": f"{TASKS}?q=Report,+part+2",
        "the beginning of a quarter of all names": f"{TASKS}?q=Nightly+import",
        "a name nobody has": f"{TASKS}?q=nothing+is+called+so",
        "an owner": f"{TASKS}?q=user77",
        "an owner and a status": f"{TASKS}?q=user77&status__exact=failed",
        "an id": f"{TASKS}?q={task}",
        "the counts": f"{TASKS}counts/",
        "one task": f"{TASKS}{task}/change/",
        "the dashboard": "/admin/realtime/live/",
        "its panels, read again": "/admin/realtime/live/panels/",
        "the log": "/admin/realtime/event/",
        "the log of a task": f"/admin/realtime/event/?q={task}",
    }
    return pages


@cache
def _client() -> Client:
    """Return a browser of somebody who may do everything."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(get_user_model().objects.create_superuser("bench", password=None))
    return client


def ask(url: str) -> float:
    """Return how many milliseconds a page takes of which nothing is kept from before."""
    kept.clear()
    begin = time.perf_counter()
    status = _client().get(url, secure=True).status_code
    if status != 200:
        raise ValueError(f"{url}: {status}")
    return 1000 * (time.perf_counter() - begin)
