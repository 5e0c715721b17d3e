"""task.advance(): steps are counted, few are written, none is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections, transaction

from realtime import track
from realtime.models import Task
from tests.kit.waiting import eventually
from tests.reporting import only

pytestmark = pytest.mark.usefixtures("at_once")


def test_steps_within_a_transaction_are_seen_after_it(engine: str, settings: Any) -> None:
    """All of them, though only the first was written by itself; a rolled-back savepoint loses none."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 3600}
    with track("Import") as task:
        with transaction.atomic(using=engine):
            for _ in range(20):
                task.advance()
            with suppress(ZeroDivisionError), transaction.atomic(using=engine):
                task.advance()
                raise ZeroDivisionError
            task.advance()
        assert only().done == 22


def test_the_last_step_is_written_without_another(settings: Any) -> None:
    """By the timer: a bar does not stand at the first step of a burst. Counting goes on from a report."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0.05}
    with track("Import", total=100) as task:
        task.report(done=40)
        for _ in range(10):
            task.advance()
        eventually(lambda: only().done == 50 and only().progress == 50)


def test_it_counts_on_from_the_row(settings: Any) -> None:
    """Also of a row whose count was not loaded."""
    task = Task.objects.create(name="import", done=7)
    task.start()
    again = Task.objects.defer("done").get(pk=task.pk)
    again.advance()
    again.advance(2)
    assert only().done == 10
    task.complete()


def test_threads_may_share_a_task(settings: Any) -> None:
    """No step of theirs is lost."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 3600}
    with track("Import") as task:
        task.advance()

        def work() -> None:
            try:
                for _ in range(1000):
                    task.advance()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work) for _ in range(4)]:
                done.result(30)
    assert only().done == 4001
