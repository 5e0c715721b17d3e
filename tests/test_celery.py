"""Celery: a worker's tasks are ours, with no change in them; real workers, a real broker."""

from __future__ import annotations

import os
import pickle
import signal

import pytest

from realtime.exceptions import InvalidValue, TaskCancelled
from tests.celery_site import OWNER, CelerySite
from tests.kit.waiting import eventually

STATE = "import_orders.AsyncResult(pk).state"


def for_later(shop: CelerySite, pool: str, code: str) -> str:
    """Publish a task for later, end it by that code before it begins, and wait until Celery is done with it.

    Return its id. When a machine stalls so long that it began before that, one for later is tried.
    """
    for countdown in (3, 10, 30):
        job = shop.publish("import_orders 1", pool, countdown=countdown)
        shop.run(code, pk=job)
        eventually(lambda job=job: shop.run(STATE, pk=job) in ("REVOKED", "SUCCESS"), 60, 0.1)
        if "running" not in shop.statuses(job):
            break
    return job


def test_a_task_is_queued_started_and_completed(shop: CelerySite, pool: str) -> None:
    """By Celery's id, with its reports, its result, and the owner that the message's header names."""
    owner = shop.run(OWNER)
    job = shop.publish("import_orders 3", pool, headers={"realtime_owner": owner})
    shop.wait(job, "completed")
    assert shop.row(job, "name", "owner", "result") == ("Import orders", owner, {"rows": 3})
    assert shop.statuses(job)[-2:] == ["running", "completed"]
    assert [done for done in shop.events(job, "done") if done] == [1, 2, 3, 3]
    assert shop.run("import_orders.AsyncResult(pk).get(timeout=20)", pk=job) == {"rows": 3}


def test_a_revoked_task_is_cancelled(shop: CelerySite) -> None:
    """By Celery's own means; the worker tells when it throws it away, which is when it would have begun."""
    job = for_later(shop, "prefork", "app.control.revoke(pk); None")
    shop.wait(job, "cancelled")
    assert shop.statuses(job) == ["pending", "cancelled"]


@pytest.mark.requirement("T4")
def test_an_exception_is_a_failure(shop: CelerySite, pool: str) -> None:
    """The owner is told its kind, staff the traceback."""
    job = shop.publish("break_down", pool)
    shop.wait(job, "failed")
    error, traceback = shop.row(job, "error", "traceback")
    assert error == "The work ended with ValueError."
    assert "customer 7 has no address" in traceback


def test_a_retry_is_the_same_task(shop: CelerySite, pool: str) -> None:
    """It runs on and says that it waits; nobody holds a lease meanwhile; each attempt begins from nothing."""
    job = shop.publish("third_time_lucky", pool)
    shop.wait(job, "completed")
    assert shop.statuses(job)[-2:] == ["running", "completed"]
    assert shop.row(job, "result", "lease_expires_at") == ("at last", None)
    messages = [message for message in shop.events(job, "message") if message]
    assert list(dict.fromkeys(messages)) == [
        "Attempt 1 ended with ConnectionError.",
        "Attempt 2 ended with ConnectionError.",
    ]
    assert [n for n in shop.events(job, "progress") if n] == [50, 50, 50, 50, 50, 100]


def test_a_replaced_task_ends_as_the_one_in_its_place(shop: CelerySite, pool: str) -> None:
    """`self.replace()`: by the same id, so it is one task, which runs on."""
    job = shop.publish("hand_over 3", pool)
    shop.wait(job, "completed")
    assert shop.row(job, "name", "result", "lease_expires_at") == ("Hand over", {"rows": 3}, None)
    assert shop.statuses(job)[-2:] == ["running", "completed"]
    assert "Replaced by another task." in shop.events(job, "message")


@pytest.mark.parametrize(("rows", "end"), [(2, "completed"), (0, "failed")])
def test_a_task_replaced_by_a_chain_ends_with_its_last(shop: CelerySite, rows: int, end: str) -> None:
    """Or fails with one before it, as the last does not come then."""
    job = shop.publish(f"hand_over_to_a_chain {rows}", "prefork")
    shop.wait(job, end)
    error, result = shop.row(job, "error", "result")
    expected = ("", {"rows": 2}) if rows else ("A task before it has failed.", None)
    assert (error, result) == expected
    assert shop.statuses(job)[-2:] == ["running", end]


@pytest.mark.requirement("T10")
def test_cancel_stops_a_running_task_at_its_next_report(shop: CelerySite, pool: str) -> None:
    """Asked for in our UI, by whatever process."""
    job = shop.publish("wait_for never", pool)
    shop.wait(job, "running")
    shop.run("Task.objects.get(pk=pk).cancel()", pk=job)
    shop.wait(job, "cancelled")
    assert shop.row(job, "error") == ("",)


def test_retry_runs_the_task_again(shop: CelerySite, pool: str) -> None:
    """Asked for in our UI: published anew with its arguments, on its queue, by the id of the new row."""
    job = shop.publish("import_orders 2", pool)
    shop.wait(job, "completed")
    again = shop.run("str(Task.objects.get(pk=pk).retry().pk)", pk=job)
    shop.wait(again, "completed")
    assert shop.row(again, "result", "retry_of") == ({"rows": 2}, job)


@pytest.mark.requirement("T10")
def test_cancel_revokes_a_task_that_has_not_begun(shop: CelerySite) -> None:
    """The worker that holds it does not run it; Celery's own result says so."""
    job = for_later(shop, "solo", "Task.objects.get(pk=pk).cancel()")
    assert shop.run(STATE, pk=job) == "REVOKED"
    assert shop.statuses(job) == ["pending", "cancelled"]


def test_a_cancelled_task_does_not_run_though_the_revocation_was_lost(shop: CelerySite, pool: str) -> None:
    """Workers forget revocations when they restart; the row does not."""
    shop.worker(pool)
    code = (
        "from uuid import uuid4\n"
        "job = str(uuid4())\n"
        "Task.objects.create(pk=job, name='Import orders', status='cancelled')\n"
        "import_orders.apply_async([1], task_id=job, queue=pool)\n"
        "job"
    )
    job = shop.run(code, pool=pool)
    eventually(lambda: shop.run(STATE, pk=job) == "REVOKED", 30, 0.1)
    assert shop.statuses(job) == ["cancelled"]


def test_a_revoked_task_that_runs_is_cancelled(shop: CelerySite) -> None:
    """By Celery's own means, which end the process that runs it."""
    job = shop.publish("wait_for never", "prefork")
    shop.wait(job, "running")
    shop.run("app.control.terminate(pk); None", pk=job)
    shop.wait(job, "cancelled")


def child_of(shop: CelerySite, job: str) -> int:
    """The process of the pool that runs a job, once it says so."""
    (message,) = eventually(lambda: [text for text in shop.row(job, "message") if text], 30, 0.05)
    return int(message)


@pytest.mark.requirement("K14")
def test_a_killed_process_of_the_pool_fails_its_task(shop: CelerySite) -> None:
    """Celery notices at once; the owner is told the kind."""
    job = shop.publish("wait_for never", "prefork")
    shop.wait(job, "running")
    os.kill(child_of(shop, job), signal.SIGKILL)
    shop.wait(job, "failed")
    assert shop.row(job, "error") == ("The work ended with WorkerLostError.",)


@pytest.mark.requirement("K14")
def test_a_task_that_is_delivered_again_goes_on(shop: CelerySite) -> None:
    """With acks_late: the next process takes the row over, lease and all."""
    job = shop.publish("survive", "prefork")
    shop.wait(job, "running")
    os.kill(child_of(shop, job), signal.SIGKILL)
    shop.wait(job, "completed")
    assert shop.row(job, "result") == ("again",)
    assert shop.statuses(job)[-2:] == ["running", "completed"]


@pytest.mark.requirement("K14")
def test_a_killed_worker_loses_its_lease(shop: CelerySite) -> None:
    """When all of it is gone, whoever looks after leases says so; delivered again, it is a retry."""
    job = shop.publish("wait_for never", "solo")
    shop.wait(job, "running")
    shop.worker("solo").kill()
    look = "from django.core.management import call_command\ncall_command('expire_leases', verbosity=0)"
    eventually(lambda: shop.run(look) or shop.row(job, "status") == ("failed",), 60, 0.2)
    assert "stopped reporting" in shop.row(job, "error")[0]
    shop.worker("prefork")
    shop.run("import_orders.apply_async([2], task_id=pk, queue='prefork')\nNone", pk=job)
    again = "list(Task.objects.filter(retry_of_id=pk).values_list('status', 'result'))"
    eventually(lambda: shop.run(again, pk=job) == [["completed", {"rows": 2}]], 40, 0.1)


def test_errors_travel_between_processes() -> None:
    """A queue pickles what a task raised; it arrives as what it was."""
    for error in (TaskCancelled(), InvalidValue(message="too long", field="name")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.problem, vars(copy)) == (type(error), error.problem, vars(error))
