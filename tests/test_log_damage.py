"""A log that was flushed, restored or damaged starts over: every older cursor is below its floor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import transaction

from realtime import log
from realtime.models import Event, LogHead, Task
from tests.kit.threads import together


def save_alone(using: str) -> None:
    """Write by the path that positions in its own transaction."""
    Task.objects.create(name="alone")


def save_inside(using: str) -> None:
    """Write by the path that positions after the commit."""
    with transaction.atomic(using=using):
        Task.objects.create(name="inside")


@pytest.mark.parametrize("save", [save_alone, save_inside])
def test_a_missing_head_starts_at_now(engine: str, save: Callable[[str], None]) -> None:
    """After a flush the log begins at the Unix time in microseconds, above every older cursor."""
    old = log.position()
    LogHead.objects.all().delete()
    before = log.microseconds()
    save(engine)
    head = log.read_head()
    assert head is not None
    assert old < before <= head.floor <= log.microseconds() < 2**53
    assert head.position == head.floor + 1
    assert Event.objects.get().position == head.position


def test_many_processes_start_one_log(engine: str) -> None:
    """Of many that find no head one makes it; all read the same."""
    LogHead.objects.all().delete()
    heads = together(*[log.start] * 6)
    assert len(set(heads)) == 1
    assert heads[0].position == heads[0].floor


def test_rebase_puts_every_older_cursor_below_the_floor(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both ends move to now; it is said as an error, and the log goes on from there."""
    task = Task.objects.create(name="import")
    cursor, before = log.position(), log.microseconds()
    head = log.rebase()
    assert head.position == head.floor > cursor
    assert head.floor >= before
    assert "rebased" in caplog.text
    task.start()
    assert Event.objects.order_by("-position")[0].position == head.position + 1


def test_rebase_never_goes_back(engine: str) -> None:
    """A head in the future, as after a wrong clock, or rows above the head: the log goes on above them."""
    future = log.microseconds() + 10**12
    log.start()
    LogHead.objects.update(position=future)
    assert log.rebase() == log.Head(future + 1, future + 1)
    Task.objects.create(name="import")
    Event.objects.update(position=future + 50)
    assert log.rebase().floor == future + 51


def test_of_many_that_see_the_damage_one_rebases(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    """The damage is looked at again under the lock: the others find it mended and leave it so."""
    old = log.start()
    heads = together(*[lambda: log.rebase(lambda found: found.floor <= old.floor)] * 4)
    assert len(set(heads)) == 1
    assert caplog.text.count("rebased") == 1


def test_a_pending_event_survives_a_rebase(engine: str) -> None:
    """What was committed and not yet positioned is served after it."""
    with transaction.atomic(using=engine):
        Task.objects.create(name="import")
        head = log.rebase()
    assert Event.objects.get().position == head.position + 1


def test_the_command_rebases(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    """manage.py realtime_rebase is the operator's word after a restore."""
    old = log.position()
    call_command("realtime_rebase")
    head = log.start()
    assert head.floor > old
    assert capsys.readouterr().out == f"The log goes on at {head.position}.\n"
