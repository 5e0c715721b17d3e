"""Reports over HTTP that meet another change of the same task: the row as it is then decides."""

from __future__ import annotations

from typing import Any

from realtime import log, replay
from realtime.models import Task
from tests.api_caller import Caller, problem
from tests.kit.threads import DEADLINE, in_thread, open_transaction, together


def test_a_report_that_meets_a_cancel_is_refused(engine: str, make_user: Any) -> None:
    """Somebody is asking the task to stop, and has not committed yet: the report waits, and hears of it."""
    ann = Caller(make_user())
    task = ann.task("running")
    with open_transaction(engine, lambda: Task.objects.get(pk=task.pk).cancel()) as commit:
        report = in_thread(lambda: ann.patch(task.pk, progress=50))
        commit()
        assert problem(report.result(DEADLINE)) == (409, "task_cancelled")
    assert Task.objects.get().progress == 0


def test_of_two_ends_one_counts(engine: str, make_user: Any) -> None:
    """Two workers finish the same task at the same moment: one hears 200, the other 409."""
    ann = Caller(make_user())
    for _ in range(5):
        task, after = ann.task("running"), log.position()
        answers = together(
            lambda pk=task.pk: ann.patch(pk, status="completed"),
            lambda pk=task.pk: ann.patch(pk, status="failed", error="no"),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert Task.objects.get(pk=task.pk).status == winner.json()["status"]
        assert [e.version for e in replay.read(after, log.position(), 10)] == [2]


def test_a_report_on_a_task_that_is_being_deleted(engine: str, make_user: Any) -> None:
    """It waits, and then there is no such task; nothing brings it back."""
    ann = Caller(make_user())
    task = ann.task("running")
    with open_transaction(engine, lambda: Task.objects.get(pk=task.pk).delete()) as commit:
        reports = [
            in_thread(lambda: ann.patch(task.pk, progress=50)),
            in_thread(lambda: ann.post(f"/api/tasks/{task.pk}/cancel/")),
        ]
        commit()
        assert [problem(report.result(DEADLINE)) for report in reports] == [(404, "not_found")] * 2
    assert not Task.objects.exists()


def test_changes_of_different_fields_are_both_kept(engine: str, make_user: Any) -> None:
    """A report writes what it says, and nothing that it read before."""
    ann = Caller(make_user())
    task = ann.task("running", total=10)
    together(lambda: ann.patch(task.pk, done=5), lambda: ann.patch(task.pk, message="half"))
    task = Task.objects.get()
    assert (task.done, task.progress, task.message, task.version) == (5, 50, "half", 3)
