"""``GET /api/tasks/<id>/log/``: the last lines of a task, on from a number, back from a number."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from realtime import log
from realtime.events import rfc3339
from realtime.models import Task, TaskLog
from tests.api_caller import UNKNOWN, Caller, problem

pytestmark = pytest.mark.requirement("T8")


def with_lines(task: Task, count: int, text: str = "a line") -> str:
    """Give a task lines, and return the address of its log."""
    TaskLog.objects.bulk_create(
        TaskLog(task=task, number=number, level="info", text=text, created_at=timezone.now())
        for number in range(1, count + 1)
    )
    return f"/api/tasks/{task.pk}/log/"


def numbers(answer: Any) -> tuple[list[int], bool, bool]:
    """The numbers of an answer's lines, and whether there are earlier and later ones."""
    body = answer.json()
    assert answer.status_code == 200
    return [line["number"] for line in body["lines"]], body["earlier"], body["later"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_line_is_told_whole(engine: str, make_user: Any) -> None:
    """Number, level, text and time; and the position from which to go on live."""
    ann = Caller(make_user())
    task = ann.task()
    with override_settings(REALTIME={"PROGRESS_INTERVAL": 0}):
        task.log("x" * 20_000, level="debug")
    after = log.position()
    body = ann.get(f"/api/tasks/{task.pk}/log/").json()
    assert body == {
        "lines": [
            {
                "number": 1,
                "level": "debug",
                "text": "x" * 10_000,
                "truncated": True,
                "timestamp": rfc3339(TaskLog.objects.get().created_at),
            }
        ],
        "earlier": False,
        "later": False,
        "position": after,
    }


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_last_thousand_come_first(engine: str, make_user: Any) -> None:
    """Then on and back, as far as there are lines."""
    ann = Caller(make_user())
    log = with_lines(ann.task(), 1500)
    assert numbers(ann.get(log)) == (list(range(501, 1501)), True, False)
    assert numbers(ann.get(f"{log}?limit=2")) == ([1499, 1500], True, False)
    assert numbers(ann.get(f"{log}?before=501")) == (list(range(1, 501)), False, True)
    assert numbers(ann.get(f"{log}?before=501&limit=2")) == ([499, 500], True, True)
    assert numbers(ann.get(f"{log}?after=1497")) == ([1498, 1499, 1500], True, False)
    assert numbers(ann.get(f"{log}?after=0&limit=2")) == ([1, 2], False, True)
    assert numbers(ann.get(f"{log}?after=1500")) == ([], True, False)
    assert numbers(ann.get(f"{log}?before=1")) == ([], False, True)
    assert numbers(ann.get(f"/api/tasks/{ann.task().pk}/log/")) == ([], False, False)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_long_lines_come_in_smaller_parts(
    engine: str, make_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer has a bound in characters too, and says that there is more."""
    monkeypatch.setattr("realtime.api.lines.CHARACTERS", 100_000)
    ann = Caller(make_user())
    log = with_lines(ann.task(), 400, "x" * 1000)
    found, earlier, later = numbers(ann.get(f"{log}?after=0"))
    assert found == list(range(1, len(found) + 1))
    assert 100 <= len(found) <= 110
    assert (earlier, later) == (False, True)
    found, earlier, later = numbers(ann.get(log))
    assert found[-1] == 400
    assert (earlier, later) == (True, False)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_bad_parameter_is_refused(engine: str, make_user: Any) -> None:
    """400, and which."""
    ann = Caller(make_user())
    log = with_lines(ann.task(), 1)
    bad = ("after=x", "after=", "after=-1", "before=1.5", "limit=0", "limit=1001", "after=1&before=3", "x=1")
    for query in bad:
        assert problem(ann.get(f"{log}?{query}")) == (400, "invalid_parameter")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_lines_are_for_those_who_see_the_task(engine: str, make_user: Any) -> None:
    """Others hear what they hear of a task that does not exist."""
    ann, boss, eve = Caller(make_user()), Caller(make_user(), "realtime.view_task"), Caller(make_user())
    log = with_lines(ann.task(), 1)
    for caller in (ann, boss):
        assert numbers(caller.get(log)) == ([1], False, False)
    assert ann.get(f"/api/tasks/{UNKNOWN}/log/").content == eve.get(log).content
    assert problem(eve.get(log)) == (404, "not_found")


def test_who_polls_gets_lines_too(engine: str, make_user: Any) -> None:
    """`/api/events/` brings the frames of a stream: lines of the tasks that it names, and of no topic."""
    ann = Caller(make_user())
    task, after = ann.task(), log.position()
    with override_settings(REALTIME={"PROGRESS_INTERVAL": 0}):
        task.log("a line")
    for address in (
        f"/api/events/?task_id={task.pk}&after={after}",
        f"/api/tasks/{task.pk}/events/?after={after}",
    ):
        (frame,) = ann.get(address).json()["events"]
        assert (frame["type"], frame["id"], frame["task_id"]) == ("task_log", after + 1, str(task.pk))
        assert frame["data"] == {"number": 1, "level": "info", "text": "a line"}
    answer = ann.get(f"/api/events/?topic=mine&after={after}").json()
    assert (answer["events"], answer["position"]) == ([], after + 1)
