"""Django's tasks, with their database backend and its worker: shown from the queue to their end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.process import Child
from tests.kit.site import Site
from tests.kit.waiting import eventually

BEFORE = "before = set(Task.objects.values_list('pk', flat=True))\nfrom tests.queue_tasks import *\n"
NEW = "\n[list(r) for r in Task.objects.exclude(pk__in=before).order_by('created_at').values_list(*fields)]"
WORK = "call_command('db_worker', batch=True, interval=0, startup_delay=False, reload=False, verbosity=0)\n"


@pytest.fixture(scope="module")
def queue() -> Iterator[Site]:
    """A site whose tasks are in its database, with a user."""
    env = {"DJANGO_SETTINGS_MODULE": "tests.queue_settings"}
    with Site("postgres", settings={"PROGRESS_INTERVAL": 0}, env=env) as site:
        site.remote().run(
            "from django.core.management import call_command\ncall_command('migrate', verbosity=0)"
        )
        site.create_user("customer")
        yield site


def new(site: Site, code: str, *fields: str) -> list[list[Any]]:
    """Run code, then work the queue off; these fields of the tasks that were not there before."""
    found: list[list[Any]] = site.remote().run(f"{BEFORE}{code}\n{WORK}{NEW}", fields=fields)
    return found


@pytest.mark.parametrize(
    ("call", "end"),
    [
        ("import_orders.enqueue(3)", ["Import orders", "completed", 3, {"rows": 3}, ""]),
        ("build_report.enqueue()", ["Build report", "completed", 0, "built", ""]),
        ("break_down.enqueue()", ["Break down", "failed", 0, None, "The work ended with ValueError."]),
        ("is_stopped.enqueue()", ["Is stopped", "cancelled", 0, None, ""]),
        (
            "import_orders.using(backend='at_once').enqueue(2)",
            ["Import orders", "completed", 2, {"rows": 2}, ""],
        ),
    ],
    ids=["sync", "async", "failure", "cancel", "immediate backend"],
)
def test_a_task_ends_as_its_work_did(queue: Site, call: str, end: list[Any]) -> None:
    """With its result, a safe text for its owner, and a cancel that is heard."""
    assert new(queue, call, "name", "status", "done", "result", "error") == [end]


def test_staff_read_the_traceback(queue: Site) -> None:
    """Nobody else does."""
    ((error, traceback),) = new(queue, "break_down.enqueue()", "error", "traceback")
    assert "customer 7" not in error
    assert "customer 7 has no address" in traceback


def test_it_waits_as_long_as_no_worker_comes(queue: Site) -> None:
    """With its own id; enqueued in a transaction, it is part of that."""
    code = (
        "from django.db import transaction\n"
        "with transaction.atomic():\n"
        "    import_orders.enqueue(1)\n"
        "    transaction.set_rollback(True)\n"
        "result = import_orders.enqueue(1)\n"
        "assert Task.objects.get(pk=result.id).status == 'pending'\n"
    )
    assert new(queue, code, "status") == [["completed"]]


@pytest.mark.requirement("T10")
def test_a_cancelled_task_is_not_run(queue: Site) -> None:
    """The queue's own record says why."""
    code = (
        "result = import_orders.enqueue(3)\n"
        "Task.objects.get(pk=result.id).cancel()\n"
        f"{WORK}"
        "result.refresh()\n"
        "assert result.errors[0].exception_class_path.endswith('TaskCancelled')\n"
    )
    assert new(queue, code, "status", "done") == [["cancelled", 0]]


def test_retry_runs_the_task_again(queue: Site) -> None:
    """Asked for in our UI: enqueued anew with its arguments, by the id of the new row."""
    code = f"result = import_orders.enqueue(2)\n{WORK}Task.objects.get(pk=result.id).retry()"
    assert new(queue, code, "status", "done") == [["completed", 2], ["completed", 2]]


def test_who_enqueues_says_whose_it_is(queue: Site) -> None:
    """For a block or by a callable; and what a task enqueues belongs to its owner."""
    owner = "User.objects.get(username='customer')"
    code = (
        "from realtime import owned_by\n"
        "from realtime.integrations.tasks import install\n"
        f"with owned_by({owner}): call_another.enqueue()\n"
        f"install(owner=lambda path, args, kwargs: {owner} if args == [2] else None)\n"
        "import_orders.enqueue(2); import_orders.enqueue(3)\n"
        "install(exclude=['*.import_*'])\n"
        "import_orders.enqueue(4)\n"
        "install()\n"
    )
    found = new(queue, code, "owner__username", "done")
    assert sorted(found, key=str) == [
        ["customer", 0],
        ["customer", 1],
        ["customer", 2],
        [None, 3],
        [None, 4],
    ]


def test_its_own_worker_moves_it(queue: Site) -> None:
    """In a process of its own, as in production."""
    command = [sys.executable, "manage.py", "db_worker", "--interval", "0.1", "--no-startup-delay"]
    code = "from tests.queue_tasks import *\nimport_orders.enqueue(2).id"
    job = queue.remote().run(code)
    done = "Task.objects.get(pk=pk).status"
    with Child(command, queue.folder / "db_worker.log", queue.env) as worker:
        eventually(lambda: queue.remote().run(done, pk=job) == "completed", 60, 0.1, worker.log)
        assert worker.stop() == 0
    statuses = "[e.data['status'] for e in Event.objects.filter(task_id=pk).order_by('position')]"
    assert list(dict.fromkeys(queue.remote().run(statuses, pk=job))) == ["pending", "running", "completed"]
