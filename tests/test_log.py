"""The log: every committed change is one event, whatever becomes of the way there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save

from realtime import log, publisher, replay
from realtime.models import Task
from tests.kit.ports import free_port
from tests.kit.threads import in_thread, open_transaction

FOREVER = 2**62


class Oops(Exception):
    """Ends a transaction that is to be rolled back."""


def statuses() -> list[tuple[str, int]]:
    """Status and version of every event, in the log's order."""
    return [(event.data["status"], event.version) for event in replay.read(0, FOREVER, 100)]


@pytest.mark.requirement("F9")
def test_a_save_is_one_event_with_the_next_position(engine: str) -> None:
    """Each committed change of a task is one event, and positions are consecutive."""
    task = Task.objects.create(name="import")
    task.start()
    task.complete(result={"rows": 3})
    task.save()
    assert statuses() == [("pending", 1), ("running", 2), ("completed", 3)]
    positions = [event.position for event in replay.read(0, FOREVER, 100)]
    assert positions == list(range(log.position() - 2, log.position() + 1))


def test_a_save_alone_is_positioned_when_it_commits(engine: str) -> None:
    """Where save() opens the transaction itself, the event gets its position in the same one."""
    pending: list[bool] = []

    def look_after_commit(**kwargs: Any) -> None:
        transaction.on_commit(lambda: pending.append(log.has_pending()), using=engine)

    post_save.connect(look_after_commit, sender=Task)
    try:
        Task.objects.create(name="import").start()
    finally:
        post_save.disconnect(look_after_commit, sender=Task)
    assert pending == [False, False]


@pytest.mark.requirement("K12")
@pytest.mark.requirement("F9")
def test_a_rolled_back_change_is_no_event(engine: str) -> None:
    """A change that was rolled back leaves nothing in the log, and the next one is sequenced."""
    task = Task.objects.create(name="import")
    with suppress(Oops), transaction.atomic(using=engine):
        task.start()
        raise Oops
    assert statuses() == [("pending", 1)]
    Task.objects.get().start()
    assert statuses() == [("pending", 1), ("running", 2)]


@pytest.mark.requirement("F9")
def test_a_rolled_back_savepoint_does_not_end_sequencing(engine: str) -> None:
    """What follows a rolled-back savepoint is sequenced, in its transaction and on its connection."""
    task = Task.objects.create(name="import")
    with transaction.atomic(using=engine):
        with suppress(Oops), transaction.atomic(using=engine):
            Task.objects.get().cancel()
            raise Oops
        task.start()
    with transaction.atomic(using=engine):
        task.complete()
    assert not log.has_pending()
    assert statuses() == [("pending", 1), ("running", 2), ("completed", 3)]


def test_a_rolled_back_transaction_does_not_end_sequencing(engine: str) -> None:
    """A connection whose transaction was rolled back sequences the next one."""
    for rolled_back in (True, False, True, False):
        with suppress(Oops), transaction.atomic(using=engine):
            Task.objects.create(name="import")
            if rolled_back:
                raise Oops
    assert not log.has_pending()
    assert len(statuses()) == 2


@pytest.fixture
def impatient(engine: str) -> Iterator[BaseDatabaseWrapper]:
    """This thread's connection, which gives up on a lock within milliseconds."""
    connection = connections[engine]
    with connection.cursor() as cursor:
        sql = {"sqlite": "PRAGMA busy_timeout = 10", "postgresql": "SET lock_timeout = '10ms'"}
        cursor.execute(sql[connection.vendor])
    yield connection
    connection.close()


def test_a_failing_sequence_does_not_break_the_caller(
    impatient: BaseDatabaseWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    """When the log is busy after the commit, the caller goes on, and the next call positions the event."""
    using = impatient.alias
    log.start()
    called: list[str] = []
    with transaction.atomic(using=using):
        # Runs first after the commit: from then on somebody else holds the head.
        holder = open_transaction(using, lambda: log.lock_head(using))
        transaction.on_commit(lambda: called.append(str(holder.__enter__())), using=using)
        Task.objects.create(name="import")
        transaction.on_commit(lambda: called.append("behind"), using=using)
    holder.__exit__(None, None, None)
    assert called[-1] == "behind"
    assert "Error calling" in caplog.text
    assert log.has_pending()
    in_thread(log.sequence).result(20)
    assert statuses() == [("pending", 1)]


def test_a_dead_layer_does_not_break_the_caller(engine: str, settings: Any) -> None:
    """With Redis down a save works as ever; the log has the event."""
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    hosts = [f"redis://127.0.0.1:{free_port()}"]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": hosts}}}
    Task.objects.create(name="import")
    assert publisher.flush(20)
    assert statuses() == [("pending", 1)]


def test_a_layer_that_does_not_exist_does_not_break_the_caller(engine: str, settings: Any) -> None:
    """Even a layer that cannot be made leaves saves alone, on both paths."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "no.such.Layer"}}
    task = Task.objects.create(name="import")
    with transaction.atomic(using=engine):
        task.start()
    assert statuses() == [("pending", 1), ("running", 2)]


@pytest.fixture
def repeatable_read(engine: str) -> Iterator[str]:
    """PostgreSQL in REPEATABLE READ; SQLite, which has one level only, as it is."""
    connection = connections[engine]
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"]["isolation_level"] = 3
    connection.close()
    yield engine
    connection.close()
    connection.settings_dict["OPTIONS"].pop("isolation_level", None)


def test_repeatable_read_takes_the_first_path(repeatable_read: str) -> None:
    """Behind an old snapshot the head cannot be moved: the event is positioned after the commit.

    Here somebody else moves the head between the save's first statement and its last.
    """
    other = Task.objects.create(name="other")
    elsewhere = []

    def move_the_head(instance: Task, created: bool, **kwargs: Any) -> None:
        mine = instance.name == "mine" and not created
        if mine and connections[repeatable_read].vendor == "postgresql":
            elsewhere.append(in_thread(other.start).result(20))

    post_save.connect(move_the_head, sender=Task)
    try:
        task = Task.objects.create(name="mine")
        task.start()
    finally:
        post_save.disconnect(move_the_head, sender=Task)
    assert not log.has_pending()
    events = [event for event in replay.read(0, FOREVER, 100) if event.task_id == str(task.pk)]
    assert [event.version for event in events] == [1, 2]
