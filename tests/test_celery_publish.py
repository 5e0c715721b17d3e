"""Celery: what is shown of a task from the moment it is published, whose it is, and which are not shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.celery_site import OWNER, CelerySite
from tests.kit.waiting import eventually

BEFORE = "before = set(Task.objects.values_list('pk', flat=True))\n"
NEW = "\n[list(r) for r in Task.objects.exclude(pk__in=before).order_by('created_at').values_list(*fields)]"
#: Nobody reads this queue: what is published there only waits.
LATER = ".apply_async([1], queue='nobody')"


def new(shop: CelerySite, code: str, *fields: str, **names: Any) -> list[list[Any]]:
    """Run code in the publisher; these fields of the tasks that are there afterwards and were not before."""
    found: list[list[Any]] = shop.run(f"{BEFORE}{code}{NEW}", fields=fields, **names)
    return found


@pytest.mark.parametrize(
    "code",
    [
        f"from realtime import owned_by\nwith owned_by(user): import_orders{LATER}",
        f"from realtime import track\nwith track('x', owner=user): import_orders{LATER}",
        "import_orders.apply_async([1], queue='nobody', headers={'realtime_owner': user})",
        "import_orders.apply_async([1], queue='nobody', headers={'realtime_owner': user.pk})",
        (
            "from realtime.integrations.celery import install\n"
            "install(app, exclude=EXCLUDE, owner=lambda name, args, kwargs: user if args == (1,) else None)\n"
            f"import_orders{LATER}\ninstall(app, exclude=EXCLUDE)"
        ),
    ],
    ids=["owned_by", "track", "header", "key", "callable"],
)
def test_who_publishes_says_whose_it_is(shop: CelerySite, code: str) -> None:
    """For a block, for a message, or for all."""
    code = f"user = User.objects.get(username='customer')\n{code}"
    assert new(shop, code, "name", "owner", "status")[-1] == ["Import orders", shop.run(OWNER), "pending"]


def test_without_a_word_it_is_nobodys(shop: CelerySite) -> None:
    """And so it is when the owner is not there any more, or never was."""
    code = (
        f"import_orders{LATER}\n"
        "for key in ('4711', 'no key'):\n"
        "    import_orders.apply_async([1], queue='nobody', headers={'realtime_owner': key})"
    )
    assert new(shop, code, "owner", "status") == [[None, "pending"]] * 3


def test_what_is_published_at_the_commit_is_shown_then(shop: CelerySite) -> None:
    """`delay_on_commit`; and what is published inside a transaction is no part of it."""
    code = (
        "from django.db import transaction\n"
        "seen = []\n"
        "with transaction.atomic():\n"
        "    import_orders.apply_async_on_commit([1], queue='nobody')\n"
        f"    import_orders{LATER}\n"
        "    seen.append(Task.objects.exclude(pk__in=before).count())\n"
        "assert seen == [0]"
    )
    assert new(shop, code, "status") == [["pending"], ["pending"]]


def test_what_cannot_be_published_is_not_shown(shop: CelerySite) -> None:
    """A task that nobody will ever run would wait for ever."""
    code = (
        "away = 'redis://127.0.0.1:1/0'\n"
        "try: import_orders.apply_async([1], connection=app.connection(away), retry=False)\n"
        "except Exception as error: raised = type(error).__name__\n"
        "assert raised == 'OperationalError', raised"
    )
    assert new(shop, code, "status") == []


def elsewhere(code: str, app: str) -> str:
    """Code that runs while the publisher's Celery app is another one, until all queues were told."""
    before = "import socket, time\nfrom realtime.integrations import errands\n"
    before += f"from realtime.integrations.celery import install\nother = {app}\ninstall(other)\n"
    ended = "assert errands._errands.flush(60)\ninstall(app, exclude=EXCLUDE)"
    return f"{before}started = time.monotonic()\n{code}\nlasted = time.monotonic() - started\n{ended}\n"


AWAY = "redis://127.0.0.1:1/0"


def test_a_broker_that_is_away_keeps_nobody_waiting(shop: CelerySite) -> None:
    """A cancel is written all the same; a retry that cannot be published says so."""
    job = shop.publish("import_orders 1", "prefork")
    shop.wait(job, "completed")
    code = elsewhere(
        "Task.objects.create(name='first').cancel()\nTask.objects.get(pk=job).retry()",
        f"Celery(broker='{AWAY}', backend=app.conf.result_backend)",
    )
    ends = [["cancelled", ""], ["failed", "The queue could not be reached."]]
    assert new(shop, f"{code}assert lasted < 10, lasted", "status", "error", job=job) == ends


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_silent_keeps_nobody_waiting(shop: CelerySite, scheme: str) -> None:
    """It takes the connection and never answers; who cancels does not notice, and the thread gives it up."""
    listen = "silent = socket.create_server(('127.0.0.1', 0))\n"
    code = elsewhere(
        f"{listen}other.conf.broker_url = f'{scheme}://127.0.0.1:{{silent.getsockname()[1]}}'\n"
        "for number in range(20): Task.objects.create(name='first').cancel()",
        "Celery()",
    )
    assert new(shop, f"{code}assert lasted < 10, lasted", "status") == [["cancelled"]] * 20


@pytest.mark.parametrize("backend", ["None", f"'{AWAY}'"])
def test_a_retry_of_what_celery_does_not_know_waits(shop: CelerySite, backend: str) -> None:
    """Without a result backend, or with one that is away: it may be no task of Celery's at all."""
    code = elsewhere(
        "first = Task.objects.create(name='first', status='failed')\nfirst.retry()",
        f"Celery(broker='{AWAY}', backend={backend}, set_as_current=False)",
    )
    assert new(shop, code, "status", "error") == [["failed", ""], ["pending", ""]]


def test_an_async_view_may_publish(shop: CelerySite) -> None:
    """On an event loop, too, it is shown at once."""
    code = f"import asyncio\nasync def view(): import_orders{LATER}\nasyncio.run(view())"
    assert new(shop, code, "status") == [["pending"]]


def test_a_database_that_does_not_answer_does_not_hold_up_an_event_loop(shop: CelerySite) -> None:
    """The loop waits once and runs on; one thread shows the tasks when it can, in their order."""
    code = (
        "import asyncio, threading, time\nfrom django.db import connection\n"
        f"async def view(): return [import_orders{LATER}.id for _ in range(10)]\n"
        "other = connection.copy()\nother.set_autocommit(False)\n"
        "other.cursor().execute('LOCK TABLE realtime_task IN ACCESS EXCLUSIVE MODE')\n"
        "begin = time.monotonic()\njobs = asyncio.run(view())\nlasted = time.monotonic() - begin\n"
        "threads = [t.name for t in threading.enumerate() if t.name.startswith('realtime-job')]\n"
        "other.rollback()\nother.close()\n"
    )
    jobs, lasted, threads = shop.run(f"{code}(jobs, lasted, threads)")
    assert lasted < 12
    assert len(threads) == 1
    there = "Task.objects.filter(pk__in=jobs, status='pending').order_by('created_at')"
    found = f"[str(pk) for pk in {there}.values_list('pk', flat=True)]"
    eventually(lambda: shop.run(found, jobs=jobs) == jobs, 30, 0.1)


def test_what_is_not_followed_is_not_shown(shop: CelerySite) -> None:
    """Celery's own tasks, and those that the project leaves out."""
    code = (
        "secret_errand.apply_async(queue='nobody')\napp.send_task('celery.backend_cleanup', queue='nobody')"
    )
    assert new(shop, code, "name") == []


def test_a_task_that_calls_another_makes_its_owner_the_others(shop: CelerySite) -> None:
    """Whoever asked for the first asked for the second."""
    shop.worker("prefork")
    owner = shop.run(OWNER)
    code = "call_another.apply_async(queue='prefork', headers={'realtime_owner': owner}).get(timeout=30)"
    found = new(shop, code, "name", "owner", owner=owner)
    assert sorted(found) == [["Call another", owner], ["Import orders", owner]]


@pytest.mark.parametrize(
    ("call", "end"),
    [
        ("import_orders.delay(2)", ["completed", {"rows": 2}, ""]),
        ("break_down.delay()", ["failed", None, "The work ended with ValueError."]),
        ("third_time_lucky.delay()", ["completed", "at last", ""]),
        ("shrug.delay()", ["cancelled", None, ""]),
        ("import_orders.apply_async([1], task_id='my own id')", ["completed", {"rows": 1}, ""]),
    ],
)
def test_eager_tasks_are_shown_too(shop: CelerySite, call: str, end: list[Any]) -> None:
    """As in a project's tests; also one whose id is no UUID."""
    code = f"app.conf.task_always_eager = True\n{call}\napp.conf.task_always_eager = False"
    assert new(shop, code, "status", "result", "error") == [end]


def test_a_function_called_as_one_reports_to_nobody(shop: CelerySite) -> None:
    """Outside of a worker `current_task_status()` takes reports and does nothing."""
    code = "assert import_orders(2) == {'rows': 2} and not current_task_status()"
    assert new(shop, code, "name") == []
