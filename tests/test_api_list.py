"""The list of tasks: who finds what, page by page, and what it costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime.api.answers import task_body
from realtime.events import rfc3339
from realtime.models import Task
from tests.api_caller import UNKNOWN, Caller, problem


def found(caller: Caller, query: str = "") -> list[str]:
    """The names on the first page."""
    answer = caller.get(f"/api/tasks/{query}")
    assert answer.status_code == 200, answer.content
    return [task["name"] for task in answer.json()["results"]]


def aged(caller: Caller, count: int, **fields: Any) -> list[Task]:
    """Tasks named by their number, each a second older than the one before."""
    now = timezone.now().replace(microsecond=0)
    return [
        caller.task(**{"name": str(n), "created_at": now - timedelta(seconds=n), **fields})
        for n in range(count)
    ]


@pytest.mark.requirement("T3", "K1")
def test_each_finds_his_own_tasks_and_who_may_view_all_finds_all(engine: str, make_user: Any) -> None:
    """An `owner` that is somebody else finds nothing, whoever it is: nothing is told apart."""
    ann, bob, boss = Caller(make_user()), Caller(make_user()), Caller(make_user(), "realtime.view_task")
    ann.task(name="ann's")
    bob.task(name="bob's")
    Task.objects.create(name="nobody's")
    assert found(ann) == ["ann's"]
    assert found(ann, f"?owner={ann.user.pk}") == ["ann's"]
    assert found(boss) == ["nobody's", "bob's", "ann's"]
    assert found(boss, f"?owner={bob.user.pk}") == ["bob's"]
    others = [str(bob.user.pk), str(boss.user.pk), "4711", "nobody", "9" * 40]
    answers = [ann.get(f"/api/tasks/?owner={owner}").json() for owner in others]
    assert all(answer == answers[0] and answer["results"] == [] for answer in answers)
    assert found(boss, "?owner=nobody") == []


def test_filters(engine: str, make_user: Any) -> None:
    """By status, activity, the beginning of the name, time and origin; all of them must fit."""
    ann = Caller(make_user())
    ann.task(name="Import A", status="running")
    old = ann.task(name="import b", status="failed", created_at=timezone.now() - timedelta(days=2))
    ann.task(name="Export %", status="pending", retry_of=old)
    assert found(ann, "?status=running&status=pending") == ["Export %", "Import A"]
    assert found(ann, "?active=true") == ["Export %", "Import A"]
    assert found(ann, "?active=false") == ["import b"]
    assert found(ann, "?active=true&status=failed") == []
    assert found(ann, "?search=IMPORT") == ["Import A", "import b"]
    assert found(ann, "?search=%25") == found(ann, "?search=port") == []
    assert found(ann, "?search=export%20%25") == ["Export %"]
    assert found(ann, f"?retry_of={old.pk}") == ["Export %"]
    assert found(ann, f"?retry_of={UNKNOWN}") == []
    day_before = rfc3339(timezone.now() - timedelta(days=1))
    assert found(ann, f"?created_before={day_before}") == ["import b"]
    assert found(ann, f"?created_after={day_before}&search=i") == ["Import A"]
    assert found(ann, f"?created_after={quote('2026-01-01T00:00:00.5+02:00')}&created_before={day_before}")
    assert found(ann, f"?created_after={quote(old.created_at.isoformat())}&search=import%20b") == ["import b"]


def test_pages(engine: str, make_user: Any) -> None:
    """Forwards and backwards, each task once, also where many are of the same moment."""
    ann, moment = Caller(make_user()), timezone.now()
    tasks = [ann.task(name=str(n), created_at=moment - timedelta(seconds=n // 3)) for n in range(10)]
    order = [str(task.pk) for task in sorted(tasks, key=lambda t: (t.created_at, t.pk), reverse=True)]
    page, pages = ann.get("/api/tasks/?page_size=4&active=true").json(), []
    assert page["previous"] is None
    while True:
        pages.append([task["task_id"] for task in page["results"]])
        if page["next"] is None:
            break
        page = ann.get(page["next"]).json()
    assert pages == [order[:4], order[4:8], order[8:]]
    for expected in (order[4:8], order[:4]):
        page = ann.get(page["previous"]).json()
        assert [task["task_id"] for task in page["results"]] == expected
    assert page["previous"] is None
    assert [task["task_id"] for task in ann.get(page["next"]).json()["results"]] == order[4:8]


def test_a_page_is_not_moved_by_new_tasks(engine: str, make_user: Any) -> None:
    """A task made or deleted while somebody turns the pages neither repeats nor hides another."""
    ann = Caller(make_user())
    tasks = aged(ann, 4)
    first = ann.get("/api/tasks/?page_size=2").json()
    ann.task(name="new")
    tasks[1].delete()
    assert found(ann, first["next"].removeprefix("/api/tasks/")) == ["2", "3"]


def test_the_whole_task_is_listed(engine: str, make_user: Any) -> None:
    """With what was too large for an event; the default page holds 50."""
    ann = Caller(make_user())
    task = ann.task(message="x" * 100_000)
    assert ann.get("/api/tasks/").json()["results"] == [task_body(Task.objects.get(pk=task.pk))]
    aged(ann, 60)
    assert len(found(ann)) == 50
    assert len(found(ann, "?page_size=200")) == 61


def test_a_page_costs_the_same_whatever_there_is(engine: str, make_user: Any) -> None:
    """The same few queries for few tasks and many, and none that counts them."""
    ann, costs = Caller(make_user(), "realtime.view_task"), []
    for count in (1, 30):
        aged(ann, count)
        with CaptureQueriesContext(connections[engine]) as queries:
            ann.get("/api/tasks/?status=pending&search=1&page_size=20")
        assert not any("COUNT(" in q["sql"] for q in queries)
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 8


BAD = (
    ("staus=running", "staus"),
    ("format=json", "format"),
    ("status=done", "status"),
    ("status=running&status=", "status"),
    ("active=1", "active"),
    ("active=true&active=true", "active"),
    ("page_size=0", "page_size"),
    ("page_size=201", "page_size"),
    ("page_size=5.0", "page_size"),
    ("page_size=%2B5", "page_size"),
    ("page_size=%D9%A3", "page_size"),
    ("page_size=" + "9" * 5000, "page_size"),
    ("cursor=", "cursor"),
    ("cursor=n1", "cursor"),
    ("cursor=n999999999999999999." + "0" * 32, "cursor"),
    ("cursor=n1." + "g" * 32, "cursor"),
    ("created_after=2026-01-01", "created_after"),
    ("created_after=2026-01-01T00:00:00", "created_after"),
    ("created_after=2026-13-01T00:00:00Z", "created_after"),
    ("created_before=0001-01-01T00:00:00%2B14:00", "created_before"),
    ("created_before=9999-12-31T23:59:59-14:00", "created_before"),
    ("created_before=2026-01-01T00:00:00+00:00Z", "created_before"),
    ("retry_of=4711", "retry_of"),
    ("search=" + "x" * 256, "search"),
    ("owner=" + "x" * 256, "owner"),
    ("%00=1", "\ufffd"),
)


def test_a_bad_parameter_is_named(engine: str, make_user: Any) -> None:
    """400 `invalid_parameter`: a typing error never returns everything."""
    ann = Caller(make_user())
    for query, field in BAD:
        answer = ann.get(f"/api/tasks/?{query}")
        assert problem(answer) == (400, "invalid_parameter"), query
        assert list(answer.json()["fields"]) == [field]
        assert len(answer.content) < 1000


def test_strange_parameters_find_nothing(engine: str, make_user: Any) -> None:
    """NUL, halves of characters and wildcards are text; a thousand parameters are too many."""
    ann = Caller(make_user())
    ann.task()
    for query in ("search=%00", "search=%ED%A0%80", "search=%25", "search=_", "search=%5C", "owner=%00"):
        assert found(ann, f"?{query}") == []
    assert found(ann, "?search=") == ["import"]
    assert problem(ann.get("/api/tasks/?" + "status=running&" * 1001)) == (400, "invalid_parameter")
