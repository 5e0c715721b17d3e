"""What a snapshot of ``mine`` and ``tasks`` shows: what still works first, however much has come since."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime import log, snapshots
from realtime.events import Viewer
from realtime.models import Task
from tests.plans import DIALECTS, rows_read
from tests.tags import render

#: Tasks of one owner that ended long ago; each thousandth still runs.
LARGE = 20_000
FILL = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})
    INSERT INTO realtime_task (id, name, status, progress, done, phase, message, error, traceback, version,
                               created_at, updated_at, finished_at, owner_id)
    SELECT {id}, 'import', CASE WHEN i % 1000 = 0 THEN 'running' ELSE 'completed' END,
           50, 3, '', '', '', '', 3, {time}, {time}, CASE WHEN i % 1000 <> 0 THEN {time} END, {owner}
    FROM n
"""

#: What the statements of a topic follow on SQLite, which does not say how many rows it reads.
INDEXES = {
    "mine": {"realtime_task_mine", "realtime_task_mine_ended"},
    "tasks": {"realtime_task_in_status", "realtime_task_status"},
}


def ended(owner: Any, minutes: float, name: str, *, created: float | None = None) -> None:
    """A task that ended so many minutes ago, and was created then, or as many minutes ago as are said."""
    now = timezone.now()
    times = {"created_at": now - timedelta(minutes=created or minutes)}
    Task.objects.create(
        name=name, owner=owner, status="completed", finished_at=now - timedelta(minutes=minutes), **times
    )


def named(topic: str, viewer: Viewer, limit: int) -> tuple[list[str], bool]:
    """The names of the tasks of a snapshot, and whether it leaves some out."""
    found, more = snapshots.newest(topic, viewer, limit)
    return [task.name for task in found], more


def test_what_still_works_comes_first(engine: str, make_user: Callable[..., Any]) -> None:
    """Then what ended in the last day; each the newest first. What ended first is left out first."""
    ann, bob = make_user("ann"), make_user("bob")
    job = Task.objects.create(name="training", owner=ann)
    job.start()
    models.QuerySet(Task).filter(pk=job.pk).update(created_at=timezone.now() - timedelta(days=3))
    Task.objects.create(name="waits", owner=ann)
    for minutes in (5, 4, 3):
        ended(ann, minutes, f"ended {minutes}")
    ended(ann, 1, "long", created=500)
    ended(ann, 60 * 25, "yesterday")
    ended(bob, 2, "his")
    mine = Viewer(str(ann.pk))
    whole = ["waits", "training", "ended 3", "ended 4", "ended 5", "long"]
    assert named("mine", mine, 6) == (whole, False)
    assert named("mine", mine, 5) == (["waits", "training", "ended 3", "ended 4", "long"], True)
    assert named("mine", mine, 2) == (["waits", "training"], True)
    assert named("mine", mine, 1) == (["waits"], True)
    boss = Viewer(str(bob.pk), view_all=True)
    assert named("tasks", boss, 4) == (["waits", "training", "his", "long"], True)
    assert named("tasks", boss, 7)[1] is False
    assert named("tasks", mine, 7) == ([], False)
    told = [row["name"] for row in snapshots.load_topics(["mine"], mine).rows.values()]
    assert told == ["waits", "ended 3", "ended 4", "ended 5", "long", "training"]  # by their age
    page = render("{% task_list limit=3 %}", ann)
    assert [page.index(name) for name in ("waits", "training", "long")] == sorted(
        page.index(name) for name in ("waits", "training", "long")
    )
    assert "Only 3 are shown" in page
    assert "ended" not in page


@pytest.mark.parametrize(("topic", "indexes"), INDEXES.items())
def test_it_costs_what_it_shows(
    engine: str, make_user: Callable[..., Any], topic: str, indexes: set[str]
) -> None:
    """Of one owner's many tasks that ended long ago none is read: each statement follows an index."""
    owner, using = make_user("worker"), log.database()
    with connections[using].cursor() as cursor:
        cursor.execute(FILL.format(last=LARGE, owner=owner.pk, **DIALECTS[connections[using].vendor]))
        cursor.execute("ANALYZE realtime_task")
    for number in range(30):
        ended(owner, number, f"recent {number}")
    with CaptureQueriesContext(connections[using]) as queries:
        found, more = snapshots.newest(topic, Viewer(str(owner.pk), view_all=True), 100)
    assert (len(found), more) == (50, False)
    assert [task.status for task in found[:20]] == ["running"] * 20
    assert len(queries) <= 5
    statements = [query["sql"] for query in queries.captured_queries]
    if connections[using].vendor == "postgresql":
        # Whichever index it takes: with one owner, that of all active tasks is as good as the owner's.
        assert [rows for sql in statements for rows in rows_read(using, sql).values() if rows > 101] == []
        return
    followed = set()
    for sql in statements:
        with connections[using].cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}".replace("%", "%%"), [])
            followed |= set(re.findall(r"realtime_task_\w+", str(cursor.fetchall())))
    assert followed == indexes
