"""Tasks over HTTP: made, read, reported on as by a worker elsewhere, cancelled, retried, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from realtime import log, replay
from realtime.api.answers import task_body
from realtime.models import Task
from realtime.models.public import whole_data
from tests.api_caller import UNKNOWN, Caller, problem


def events(after: int = 0) -> list[tuple[str, int]]:
    """Kind and version of what stands in the log."""
    return [(event.kind, event.version) for event in replay.read(after, log.position(), 1000)]


def test_a_task_is_made(engine: str, make_user: Any) -> None:
    """201, its address, and the body that every client of every transport knows; the caller owns it."""
    ann = Caller(make_user())
    before = log.position()
    answer = ann.post("/api/tasks/", {"name": "import", "total": 10, "phase": "p", "message": "m"})
    task = Task.objects.get()
    assert answer.status_code == 201
    assert answer["Location"] == f"/api/tasks/{task.pk}/"
    assert answer.json() == {**task_body(task), "position": before}
    assert answer["Realtime-Position"] == str(before)
    assert (task.owner, task.status, task.total) == (ann.user, "pending", 10)
    assert ann.get(answer["Location"]).json()["task_id"] == str(task.pk)


@pytest.mark.requirement("T3")
def test_a_task_for_another_user_needs_a_permission(engine: str, make_user: Any) -> None:
    """``owner`` is a user's id as text; without the permission nobody learns which users there are."""
    ann, boss, other = Caller(make_user()), Caller(make_user(), "realtime.add_task"), make_user()
    for owner in (str(other.pk), "4711", "nobody"):
        assert problem(ann.post("/api/tasks/", {"name": "x", "owner": owner})) == (403, "forbidden")
    assert ann.post("/api/tasks/", {"name": "x", "owner": str(ann.user.pk)}).status_code == 201
    assert boss.post("/api/tasks/", {"name": "x", "owner": str(other.pk)}).json()["owner"] == str(other.pk)
    for owner in ("4711", "nobody", f" {other.pk}", "9" * 60, "-1", "1.0"):
        answer = boss.post("/api/tasks/", {"name": "x", "owner": owner})
        assert problem(answer) == (400, "invalid_body")
        assert answer.json()["fields"]["owner"][0]["code"] == "unknown_user"


def test_a_report_is_one_change_and_one_event(engine: str, make_user: Any) -> None:
    """Whatever it says at once; progress follows from `done` of `total` unless it is given."""
    ann = Caller(make_user())
    task, after = ann.task(), log.position()
    told = {"status": "running", "done": 3, "total": 10, "phase": "p", "message": "m"}
    answer = ann.patch(task.pk, **told)
    body = answer.json()
    assert {name: body[name] for name in told} == told
    assert (body["progress"], body["version"], body["position"]) == (30, 2, after)
    assert events(after) == [("task_update", 2)]
    assert ann.patch(task.pk, done=5, progress=70.9).json()["progress"] == 70
    assert ann.patch(task.pk, total=None).json()["progress"] == 70
    finished = ann.patch(task.pk, status="completed", result={"rows": [1, None, "é"]}).json()
    assert (finished["progress"], finished["result"]) == (100, {"rows": [1, None, "é"]})
    assert finished["finished_at"] is not None
    task.refresh_from_db()
    assert finished == {**task_body(task), "position": finished["position"]}


def test_a_report_that_changes_nothing_is_no_event(engine: str, make_user: Any) -> None:
    """So a worker that did not hear the answer may say the same again, also the end."""
    ann = Caller(make_user())
    task = ann.task("running")
    for _ in range(2):
        assert ann.patch(task.pk, status="failed", error="disk full").status_code == 200
    assert [version for _, version in events()] == [1, 2]


def test_an_illegal_transition_is_refused(engine: str, make_user: Any) -> None:
    """409 and the reason; nothing of the report is written."""
    ann = Caller(make_user())
    for status, told in (
        ("completed", {"status": "running"}),
        ("failed", {"message": "still here"}),
        ("running", {"status": "pending", "message": "back"}),
        ("pending", {"status": "completed"}),
    ):
        task = ann.task(status)
        answer = ann.patch(task.pk, **told)
        assert problem(answer) == (409, "illegal_transition"), (status, told)
        assert whole_data(Task.objects.get(pk=task.pk)) == whole_data(task)


def test_a_worker_hears_that_its_task_was_cancelled(engine: str, make_user: Any) -> None:
    """From then on only the end is taken; every other report is answered 409, and nothing is written."""
    ann = Caller(make_user())
    task = ann.task("running")
    asked = ann.post(f"/api/tasks/{task.pk}/cancel/")
    assert (asked.status_code, asked.json()["status"]) == (200, "running")
    assert asked.json()["cancel_requested_at"] is not None
    for told in ({"progress": 50}, {}, {"status": "running"}, {"status": "pending"}, {"result": 1}):
        assert problem(ann.patch(task.pk, **told)) == (409, "task_cancelled")
    assert events()[-1] == ("task_update", 2)
    assert ann.patch(task.pk, status="cancelled", message="stopped").json()["status"] == "cancelled"
    assert ann.patch(ann.task("running").pk, status="cancelled").status_code == 200


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_a_worker_may_finish_though_it_was_cancelled(engine: str, make_user: Any, status: str) -> None:
    """What was done when the wish came is done."""
    ann = Caller(make_user())
    task = ann.task("running")
    ann.post(f"/api/tasks/{task.pk}/cancel/")
    assert ann.patch(task.pk, status=status).json()["status"] == status


def test_cancel(engine: str, make_user: Any) -> None:
    """A pending task is cancelled at once, twice is once, a finished one cannot be."""
    ann = Caller(make_user())
    pending, done = ann.task(), ann.task("completed")
    for _ in range(2):
        assert ann.post(f"/api/tasks/{pending.pk}/cancel/").json()["status"] == "cancelled"
    assert events()[-1] == ("task_update", 2)
    assert problem(ann.post(f"/api/tasks/{done.pk}/cancel/")) == (409, "illegal_transition")


def test_retry(engine: str, make_user: Any) -> None:
    """A finished task is made again, for its owner, with `retry_of`; another cannot be."""
    ann, boss = Caller(make_user()), Caller(make_user(), "realtime.add_task", "realtime.view_task")
    failed, running = ann.task("failed", total=7), ann.task("running")
    for who in (ann, boss):
        answer = who.post(f"/api/tasks/{failed.pk}/retry/")
        body = answer.json()
        assert (answer.status_code, body["retry_of"]) == (201, str(failed.pk))
        assert (body["status"], body["owner"], body["total"]) == ("pending", str(ann.user.pk), 7)
        assert answer["Location"] == f"/api/tasks/{body['task_id']}/"
    assert problem(ann.post(f"/api/tasks/{running.pk}/retry/")) == (409, "illegal_transition")


def test_delete(engine: str, make_user: Any) -> None:
    """204, nothing in it but the position before; the event comes behind that."""
    ann = Caller(make_user())
    task, before = ann.task("running"), log.position()
    answer = ann.delete(task.pk)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["Realtime-Position"] == str(before)
    assert events(before) == [("task_deleted", 2)]
    assert problem(ann.delete(task.pk)) == (404, "not_found")


def test_the_position_is_never_ahead_of_the_state(engine: str, make_user: Any) -> None:
    """It is read first: what happens while the answer is made is in the state or behind the position."""
    ann = Caller(make_user())
    path = f"/api/tasks/{ann.task().pk}/"
    with CaptureQueriesContext(connections[engine]) as queries:
        ann.get(path)
    asked = [q["sql"] for q in queries]
    head = next(n for n, sql in enumerate(asked) if "realtime_loghead" in sql)
    assert head < next(n for n, sql in enumerate(asked) if 'FROM "realtime_task"' in sql)


@pytest.mark.requirement("K20")
def test_text_comes_back_as_it_was_sent(engine: str, make_user: Any) -> None:
    """Markup is data: JSON, said to be JSON, and no browser may guess otherwise."""
    ann, text = Caller(make_user()), "<script>alert('ä\u2028')</script>&amp;\r\n\t"
    made = ann.post("/api/tasks/", {"name": text, "message": text})
    told = ann.patch(made.json()["task_id"], status="failed", error=text, result={text: [text]})
    for answer in (made, told, ann.get(f"/api/tasks/{made.json()['task_id']}/")):
        assert answer.json()["name"] == answer.json()["message"] == text
        assert answer["Content-Type"] == "application/json"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Cache-Control"] == "no-store"
    assert told.json()["error"] == text
    assert told.json()["result"] == {text: [text]}


def test_what_no_database_holds_is_replaced(engine: str, make_user: Any) -> None:
    """NUL and halves of characters, in texts and inside of results."""
    ann = Caller(make_user())
    made = ann.post("/api/tasks/", {"name": "a\x00b\ud800"}).json()
    assert made["name"] == "a\ufffdb?"
    told = ann.patch(made["task_id"], message="\x00", result={"a\x00": ["\udfff"]}).json()
    assert (told["message"], told["result"]) == ("\ufffd", {"a\ufffd": ["?"]})


def test_a_task_that_goes_away_meanwhile_is_unknown(engine: str, make_user: Any) -> None:
    """An id of nothing is 404 through each door."""
    ann = Caller(make_user())
    for answer in (
        ann.get(f"/api/tasks/{UNKNOWN}/"),
        ann.patch(UNKNOWN, progress=1),
        ann.post(f"/api/tasks/{UNKNOWN}/retry/"),
    ):
        assert problem(answer) == (404, "not_found")


@pytest.mark.requirement("T4")
def test_no_answer_holds_a_traceback(engine: str, make_user: Any) -> None:
    """The API tells the owner, and whoever may view all, what went wrong in safe words only."""
    ann, boss = Caller(make_user()), Caller(make_user(), "realtime.view_task", "realtime.change_task")
    task = ann.task("running")
    task.fail("No space left.", traceback="line-of-code")
    for caller in (ann, boss):
        for path in ("", f"{task.pk}/", f"{task.pk}/events/?after=0", f"{task.pk}/log/"):
            answer = caller.get(f"/api/tasks/{path}")
            assert answer.status_code == 200
            assert b"line-of-code" not in answer.content
        assert caller.get(f"/api/tasks/{task.pk}/").json()["error"] == "No space left."
