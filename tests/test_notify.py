"""A task that has finished is told of: by signals, once, after the commit; and by mail where wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from realtime import leases, notify
from realtime.exceptions import IllegalTransition
from realtime.models import Task
from tests.kit.waiting import eventually
from tests.leasing import end_renewals

pytestmark = pytest.mark.requirement("T5")


@pytest.fixture
def told() -> Iterator[list[tuple[str, str, str]]]:
    """What receivers were told: the signal, the task, its status."""
    heard: list[tuple[str, str, str]] = []

    def finished(task: Task, **kwargs: Any) -> None:
        heard.append(("finished", str(task.pk), task.status))

    def failed(task: Task, **kwargs: Any) -> None:
        heard.append(("failed", str(task.pk), task.status))

    notify.task_finished.connect(finished)
    notify.task_failed.connect(failed)
    yield heard
    notify.task_finished.disconnect(finished)
    notify.task_failed.disconnect(failed)


#: What is sent for a task that has failed, and for others.
SIGNALS = {True: ["finished", "failed"], False: ["finished"]}


def expire(task: Task) -> None:
    """Let the task's worker be dead for long, and somebody notice."""
    end_renewals()
    rows = Task.objects.filter(pk=task.pk)
    rows.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    with override_settings(REALTIME={"LEASE_SECONDS": 1}):
        assert leases.expire() == 1


ENDS: dict[str, tuple[str, Callable[[Task], object]]] = {
    "complete": ("completed", lambda task: task.complete()),
    "fail": ("failed", lambda task: task.fail("disk full")),
    "cancel": ("cancelled", lambda task: (task.cancel(), task.cancel())),
    "save": ("failed", lambda task: (setattr(task, "status", "failed"), task.save())),
    "update": ("failed", lambda task: Task.objects.filter(pk=task.pk).update(status="failed")),
    "lease": ("failed", expire),
}


def test_each_end_is_told_once(engine: str, told: list[tuple[str, str, str]]) -> None:
    """However it ends, and whoever writes it; what is done to a finished task is not told again."""
    for status, finish in ENDS.values():
        told.clear()
        task = Task.objects.create(name="import")
        task.start()
        task.report(50)
        assert told == []
        finish(task)
        expected = [(signal, str(task.pk), status) for signal in SIGNALS[status == "failed"]]
        assert told == expected
        stale = Task.objects.get(pk=task.pk)
        stale.name = "renamed"
        stale.save()
        with pytest.raises(IllegalTransition):
            Task.objects.get(pk=task.pk).fail("again")
        Task.objects.filter(pk=task.pk).update(name="again")
        assert told == expected


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_never_ended_is_not_told(engine: str, told: list[tuple[str, str, str]]) -> None:
    """A task that is created as finished, as by an import of old ones, did not end now."""
    Task.objects.create(name="old", status="failed")
    Task.objects.bulk_create([Task(name="old", status="completed")])
    assert told == []


def test_it_is_told_after_the_commit_and_not_of_what_was_rolled_back(
    engine: str, told: list[tuple[str, str, str]]
) -> None:
    """A receiver reads the row as it was told of it."""
    task, other = (Task.objects.create(name=name, status="running") for name in "ab")
    with transaction.atomic(using=engine):
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=engine):
            other.fail()
            raise ZeroDivisionError
        task.complete()
        assert told == []
    assert told == [("finished", str(task.pk), "completed")]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_receiver_that_raises_hinders_nobody(
    engine: str, told: list[tuple[str, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the save nor the other receivers; the error is in the log."""

    def broken(**kwargs: Any) -> None:
        raise RuntimeError("the pager is broken")

    notify.task_finished.connect(broken)
    try:
        task = Task.objects.create(name="import", status="running")
        task.complete()
    finally:
        notify.task_finished.disconnect(broken)
    assert Task.objects.get().status == "completed"
    assert len(told) == 1
    assert "the pager is broken" in caplog.text


@pytest.fixture
def mailer(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[notify.Mailer]:
    """A process that has sent no mail yet, of a site that wants them."""
    settings.MANAGERS, settings.REALTIME = [("Ann", "ann@example.com")], {"MAIL_ON_FAILURE": True}
    mailer = notify.Mailer()
    monkeypatch.setattr(notify, "_mailer", mailer)
    yield mailer
    monkeypatch.setattr(notify, "HOUR", 0.0)
    with mailer._condition:
        mailer._condition.notify()
    mailer.end()


def fail(name: str) -> Task:
    """Make a task and let it fail."""
    task = Task.objects.create(name=name, status="running")
    task.fail("disk full", traceback="line-of-code")
    return task


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_managers_get_a_mail_of_a_failed_task(engine: str, mailer: notify.Mailer) -> None:
    """Which one and why, as its owner may read it; no line break of a name gets into a header."""
    Task.objects.create(name="good", status="running").complete()
    task = fail("import\nBcc: eve@example.com")
    eventually(lambda: len(mail.outbox) == 1)
    (message,) = mail.outbox
    assert message.subject.endswith("Task failed: import Bcc: eve@example.com")
    assert message.recipients() == ["ann@example.com"]
    assert "disk full" in message.body
    assert str(task.pk) in message.body
    assert "line-of-code" not in message.body


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_site_gets_no_mail_unless_it_wants_it(engine: str, mailer: notify.Mailer, settings: Any) -> None:
    """`MAIL_ON_FAILURE` is off by default."""
    settings.REALTIME = {}
    fail("import")
    assert mailer._thread is None
    assert mail.outbox == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_flood_of_failures_is_a_few_mails(
    engine: str, mailer: notify.Mailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most so many an hour and process; what fails meanwhile is summed up in the next one."""
    for number in range(notify.MAILS):
        fail(f"number {number}")
        eventually(lambda number=number: len(mail.outbox) == number + 1)
    for number in range(notify.LINES + 30):
        fail(f"later {number}")
    eventually(lambda: len(mailer._waiting) == notify.LINES)
    assert len(mail.outbox) == notify.MAILS
    monkeypatch.setattr(notify, "HOUR", 0.0)
    with mailer._condition:
        mailer._condition.notify()
    eventually(lambda: len(mail.outbox) == notify.MAILS + 1)
    assert mail.outbox[-1].subject.endswith("50 tasks failed")
    assert "later 0" in mail.outbox[-1].body
    assert "And 30 more." in mail.outbox[-1].body


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_mail_server_that_does_not_answer_keeps_no_worker(
    engine: str, mailer: notify.Mailer, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The task fails as ever; that nobody could be told is in the log."""
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
        "django.core.mail.backends.smtp.EmailBackend",
        "127.0.0.1",
        1,
    )
    assert fail("import").status == "failed"
    eventually(lambda: "could not be sent" in caplog.text)
