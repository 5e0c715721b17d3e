"""Letting old events go: only a prefix, in chunks, and the floor moves with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime import log
from realtime.events import TASK_UPDATE
from realtime.models import Event, Task
from tests.kit.threads import open_transaction

ALL = 2**62


def write(ages: list[int], using: str, sequenced: bool = True) -> None:
    """Append one event per age in days, the first one first."""
    now = timezone.now()
    rows = [
        Event(kind=TASK_UPDATE, task_id=str(n), created_at=now - timedelta(a)) for n, a in enumerate(ages)
    ]
    Event.objects.using(using).bulk_create(rows)
    if sequenced:
        log.sequence()


def left() -> list[str]:
    """What is still there, by the number each event was written as."""
    return list(Event.objects.order_by("position").values_list("task_id", flat=True))


def days_ago(days: float) -> datetime:
    """The time so many days ago."""
    return timezone.now() - timedelta(days)


@pytest.fixture
def start(engine: str) -> int:
    """The position before the first event."""
    return log.position()


def test_prune_by_age(engine: str, start: int) -> None:
    """Events older than the limit go, and the floor is the last of them."""
    write([9, 8, 3, 1], engine)
    assert log.prune(days_ago(7), ALL) == 2
    assert left() == ["2", "3"]
    assert log.read_head() == log.Head(start + 4, start + 2)


def test_prune_by_number(engine: str, start: int) -> None:
    """All but the last so many go, however young they are."""
    write([1, 1, 1, 1], engine)
    assert log.prune(days_ago(7), 1) == 3
    assert left() == ["3"]
    assert log.read_head() == log.Head(start + 4, start + 3)


def test_prune_takes_only_a_prefix(engine: str, start: int) -> None:
    """An old event behind a young one stays: a hole would look like damage to every reader."""
    write([9, 1, 9, 1], engine)
    assert log.prune(days_ago(7), ALL) == 1
    assert left() == ["1", "2", "3"]
    assert log.read_head() == log.Head(start + 4, start + 1)


def test_prune_of_everything_keeps_the_position(engine: str, start: int) -> None:
    """An empty log goes on where it was, and a second prune finds nothing."""
    write([9, 9], engine)
    assert log.prune(days_ago(7), ALL) == 2
    assert log.prune(days_ago(7), ALL) == 0
    assert log.read_head() == log.Head(start + 2, start + 2)
    Task.objects.create(name="next")
    assert Event.objects.get().position == start + 3


def test_prune_never_takes_a_row_without_a_position(engine: str, start: int) -> None:
    """An old event that waits for its position will get one, and be served."""
    write([9, 9], engine)
    write([30, 30], engine, sequenced=False)
    assert log.prune(days_ago(7), 0) == 2
    assert [event.position for event in log.sequence()] == [start + 3, start + 4]


@pytest.mark.requirement("T9")
def test_prune_works_in_chunks(engine: str, start: int) -> None:
    """No transaction deletes more than a chunk; the sum of them is returned."""
    write([9] * 25 + [1], engine)
    with CaptureQueriesContext(connections[engine]) as queries:
        assert log.prune(days_ago(7), ALL, chunk=10) == 25
    assert len([q for q in queries if q["sql"].startswith("DELETE")]) == 3
    assert left() == ["25"]
    assert log.read_head() == log.Head(start + 26, start + 25)


@pytest.mark.parametrize("chunk", [1, 2])
def test_the_floor_moves_with_the_rows(engine: str, start: int, chunk: int) -> None:
    """A prune that dies in its second chunk has moved the floor as far as it has deleted."""
    write([9, 9, 9, 9], engine)
    deletes: list[str] = []

    def die_in_the_second_chunk(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("DELETE"):
            deletes.append(sql)
            if len(deletes) == 2:
                raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with (
        pytest.raises(KeyboardInterrupt),
        connections[engine].execute_wrapper(die_in_the_second_chunk),
    ):
        log.prune(days_ago(7), ALL, chunk=chunk)
    assert len(left()) == 4 - chunk
    assert log.read_head() == log.Head(start + 4, start + chunk)


def test_prune_during_a_long_transaction_loses_nothing_of_it(engine: str, start: int) -> None:
    """Events of a transaction that began long ago get high positions when it commits, and survive.

    A prune by age alone would take them as soon as they appear, before anybody has read them.
    """
    write([9, 9], engine)

    def begin_long_ago() -> None:
        Task.objects.create(name="late")
        Event.objects.filter(position=None).update(created_at=days_ago(30))

    with ExitStack() as stack:
        if connections[engine].vendor == "postgresql":
            stack.enter_context(open_transaction(engine, begin_long_ago))
            write([1], engine)
            assert log.prune(days_ago(7), ALL) == 2
        else:  # SQLite has one writer at a time: the others come before or after
            write([1], engine)
            assert log.prune(days_ago(7), ALL) == 2
            with transaction.atomic(using=engine):
                begin_long_ago()
    assert log.prune(days_ago(7), ALL) == 0
    assert [event.data.get("name") for event in Event.objects.order_by("position")] == [None, "late"]
    assert log.read_head() == log.Head(start + 4, start + 2)


@pytest.fixture
def retention(settings: Any) -> Iterator[None]:
    """Settings that keep two days and two events."""
    settings.REALTIME = {"RETENTION_DAYS": 2, "RETENTION_EVENTS": 2}
    return


@pytest.mark.usefixtures("retention")
def test_the_command_prunes_by_the_settings(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """manage.py prune_events takes its limits from the settings, or from its arguments."""
    write([9, 1, 1, 1], engine)
    call_command("prune_events")
    assert left() == ["2", "3"]
    call_command("prune_events", keep=1)
    assert left() == ["3"]
    assert capsys.readouterr().out.splitlines() == [
        "2 events and 0 lines deleted.",
        "1 events and 0 lines deleted.",
    ]
    with pytest.raises(CommandError):
        call_command("prune_events", days=-1)
