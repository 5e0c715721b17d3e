"""What the pictures of the README show: a site with people, tasks in every state, a notice; run inside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from realtime import broadcasts
from realtime.models import Broadcast, Event, Task, TaskLog

#: Tasks whose workers live in this process: their leases are renewed as long as somebody holds them.
_alive: list[Task] = []
#: Those among them that say nothing.
_silent: set[Any] = set()

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/imports/orders.py", line 88, in run
    order.total = Decimal(row["total"])
decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]"""
CALLS: Sequence[dict[str, Any]] = (
    {"region": "North", "orders": 1824, "revenue": 91204.5},
    {"region": "South", "orders": 2210, "revenue": 118932.25},
    {"region": "West", "orders": 964, "revenue": 40117},
)


def past(task: Task, minutes: float, **times: float) -> None:
    """Set a task back: created so many minutes ago, its other times as given; by Django's own update."""
    now = timezone.now()
    values = {name: now - timedelta(minutes=value) for name, value in times.items()}
    values.setdefault("updated_at", values.get("finished_at", now))
    rows = models.QuerySet(Task).filter(pk=task.pk)
    rows.update(created_at=now - timedelta(minutes=minutes), **values)


def running(owner: User, name: str, minutes: float, **report: Any) -> Task:
    """A task that somebody works on."""
    task = Task.objects.create(name=name, owner=owner)
    task.start()
    task.report(**report)
    task.write_report()
    past(task, minutes, started_at=minutes - 0.05)
    _alive.append(task)
    return task


def work() -> None:
    """Let each task that somebody works on come a little further, as it does while people watch."""
    for task in _alive:
        task.refresh_from_db()
        if task.status == "running" and not task.cancel_requested_at and task.pk not in _silent:
            further = {"done": task.done + 7} if task.done else {"progress": task.progress + 1}
            task.report(**further, message=task.message.replace(f"{task.done:,}", f"{task.done + 7:,}"))
            task.write_report()


def ended(owner: User, name: str, minutes: float, took: float, **end: Any) -> Task:
    """A task that somebody has worked on, for `took` minutes."""
    task = Task.objects.create(name=name, owner=owner, total=end.pop("total", None))
    task.start()
    if done := end.pop("done", None):
        task.report(done=done)
    if "error" in end:
        task.fail(**end)
    else:
        task.complete(**end)
    began = minutes - 0.1
    past(task, minutes, started_at=began, finished_at=began - took)
    return task


def everyday(owner: User) -> None:
    """Some hours of other people's work, for the figures of the dashboard."""
    names = ("Thumbnails", "Newsletter", "Stock of the shop", "Backup of the pictures", "Search index")
    for number in range(46):
        minutes = 3 + number * 1.27 + (number % 7)
        end: dict[str, Any] = {"result": {"files": 40 + number}}
        if number % 15 == 7:
            end = {"error": "The mail server did not answer."}
        ended(owner, f"{names[number % 5]}, part {number + 1}", minutes, 0.2 + number % 5 / 2, **end)


def make() -> str:
    """Fill the site; return the id of the task that failed."""
    ada, ben = (User.objects.get(username=name) for name in ("ada", "ben"))
    everyday(ben)
    ended(ada, "Sales by region", 52, 2.1, result=list(CALLS))
    ended(ada, "Archive of the invoices", 41, 6.4, result={"invoices": 1204, "file": "/media/invoices.zip"})
    failed = fail(ada)
    called_off = running(ada, "Training of the spam filter", 22, done=3, total=12, phase="Epoch 3")
    called_off.cancel()
    called_off.cancel()
    past(called_off, 22, started_at=21.9, finished_at=19.5)
    silent = running(ada, "Sync with the warehouse", 14, progress=35, message="Waiting for shelf 12")
    _silent.add(silent.pk)
    past(silent, 14, started_at=13.9, updated_at=4)
    stopping = running(
        ada, "Export of all orders", 6, done=41_200, total=96_000, phase="Writing", message="orders-03.csv"
    )
    Task.objects.get(pk=stopping.pk).cancel()
    running(ada, "Search for duplicates", 3, done=18_640, phase="Comparing", message="customer 18,640")
    running(
        ada,
        "Import of customers.csv",
        1.2,
        done=11_776,
        total=18_400,
        phase="Reading",
        message="row 11,776",
    )
    running(ben, "Report of the quarter", 2, progress=72, phase="Charts", message="Revenue by month")
    Task.objects.create(name="Monthly report, November", owner=ada)
    return str(failed.pk)


def tell() -> str:
    """Send notices to those who are connected, all but one of which is over or to come; return its id."""
    ben, staff = (User.objects.get(username=name) for name in ("ben", "staff"))
    now = timezone.now()
    seconds = now + timedelta(seconds=2)
    told(5.2 * 60, "Welcome back, everybody.", level="success", sender=staff, ends_at=seconds)
    told(
        3.1 * 60,
        "The mail server does not answer. Newsletters wait.",
        title="No mail at the moment",
        level="critical",
        audience="staff",
        sender=ben,
        ends_at=seconds,
    )
    wrong = broadcasts.send("The shop closes at noon.", level="info", sender=ben)
    broadcasts.wait_for_reach(wrong)
    broadcasts.retract(wrong, by=staff)
    past_notice(wrong, 95, retracted_at=now - timedelta(minutes=94))
    broadcasts.send(
        "From 9:00 on the new price list counts.",
        title="New prices",
        sender=staff,
        starts_at=now + timedelta(hours=15),
    )
    sent = broadcasts.send(
        "The shop is read-only from 22:00 to 22:15. Running tasks go on.",
        title="Maintenance tonight",
        level="warning",
        sender=ben,
        ends_at=now + timedelta(hours=6),
    )
    broadcasts.wait_for_reach(sent)
    # The short ones have gone from all pages.
    time.sleep(max(0.0, (seconds - timezone.now()).total_seconds()))
    return str(sent.pk)


def told(minutes: float, message: str, **options: Any) -> None:
    """Send a notice as if it had been so many minutes ago, for half an hour."""
    sent = broadcasts.send(message, **options)
    broadcasts.wait_for_reach(sent)
    past_notice(sent, minutes)


def past_notice(sent: Broadcast, minutes: float, **times: datetime) -> None:
    """Set a notice back."""
    began = timezone.now() - timedelta(minutes=minutes)
    values = {"starts_at": began, "published_at": began, "ends_at": began + timedelta(minutes=30), **times}
    Broadcast.objects.filter(pk=sent.pk).update(created_at=began, **values)


def fail(owner: User) -> Task:
    """An import that ends at a bad row, with the lines that it told on the way."""
    task = Task.objects.create(name="Import of orders.csv", owner=owner, total=12_000)
    task.start()
    task.log("Reading orders.csv, 12,000 rows")
    for done in range(1000, 8000, 1000):
        task.report(done=done, phase="Importing", message=f"row {done:,}")
        task.log(f"{done:,} rows are in")
    task.log("Row 7,304 has no address: the customer's own is taken", level="warning")
    task.log("Row 7,911, column “total”: “12,50 €” is not a number", level="error")
    task.fail(error="Row 7,911, column “total”: “12,50 €” is not a number.", traceback=TRACEBACK)
    past(task, 31, started_at=30.9, finished_at=29.2)
    began = timezone.now() - timedelta(minutes=30.8)
    told = [
        *models.QuerySet(Event).filter(task_id=str(task.pk), kind="task_update").order_by("id")[2:3],
        *models.QuerySet(TaskLog).filter(task=task).order_by("number"),
    ]
    for number, row in enumerate(told):
        rows = models.QuerySet(type(row)).filter(pk=row.pk)
        rows.update(created_at=began + timedelta(seconds=number * 9.3))
    return task
