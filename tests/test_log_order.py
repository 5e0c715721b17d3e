"""The log's order: positions follow the commits, and per task the versions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models.signals import post_save

from realtime import log, replay
from realtime.events import LogEvent
from realtime.models import Task
from tests.journal import journal
from tests.kit.threads import DEADLINE, in_thread, open_transaction, together

FOREVER = 2**62


class Reader:
    """A client of the log that comes back with its cursor again and again."""

    def __init__(self) -> None:
        self.cursor = log.position()
        self.seen: list[LogEvent] = []

    def resume(self) -> None:
        """Read everything up to the head as it is now."""
        events = replay.read(self.cursor, log.position(), 10_000)
        self.seen += events
        self.cursor = events[-1].position if events else self.cursor


@contextmanager
def on_save(receiver: Callable[..., None]) -> Iterator[None]:
    """Have `receiver` told of saved tasks inside the block."""
    post_save.connect(receiver, sender=Task, weak=False)
    try:
        yield
    finally:
        post_save.disconnect(receiver, sender=Task)


@pytest.mark.requirement("F2")
def test_a_late_commit_comes_last_and_no_reader_misses_it(engine: str) -> None:
    """The transaction that writes first and commits last gets the last position.

    With ids given at the write, a reader who had read the second one would never see the first.
    """
    early, late = Task.objects.create(name="early"), Task.objects.create(name="late")
    reader = Reader()
    with open_transaction(engine, late.start) as commit:
        other = in_thread(early.start)
        if connections[engine].vendor == "postgresql":
            other.result(DEADLINE)  # SQLite lets nobody write meanwhile
        reader.resume()
        commit()
    other.result(DEADLINE)
    reader.resume()
    order = [early, late] if connections[engine].vendor == "postgresql" else [late, early]
    assert [event.task_id for event in reader.seen] == [str(task.pk) for task in order]


@pytest.mark.requirement("F2")
def test_a_reader_among_many_writers_sees_all_once_in_order(engine: str) -> None:
    """Eight writers on both paths, one reader who resumes all the time: no gap, no repeat."""
    tasks = [Task.objects.create(name=f"task {n}") for n in range(8)]
    reader = Reader()
    done = threading.Event()

    def write(task: Task) -> None:
        for number in range(12):
            task.message = str(number)
            if number % 2:
                task.save()
            else:
                with transaction.atomic(using=engine):
                    task.save()

    def read() -> None:
        while not done.is_set():
            reader.resume()

    reading = in_thread(read)
    together(*[lambda task=task: write(task) for task in tasks])
    done.set()
    reading.result(DEADLINE)
    reader.resume()
    first = reader.seen[0].position
    assert [event.position for event in reader.seen] == list(range(first, first + 8 * 12))
    for task in tasks:
        versions = [event.version for event in reader.seen if event.task_id == str(task.pk)]
        assert versions == list(range(2, 14))


@pytest.mark.requirement("F2")
def test_both_paths_interleaved_keep_a_task_in_version_order(engine: str) -> None:
    """A save alone, which positions at once, waits its turn behind what is committed but pending."""
    task = Task.objects.create(name="import")
    for round_ in range(4):
        committed, go_on = threading.Event(), threading.Event()

        def save_in_a_transaction(
            text: str = f"outer {round_}", committed: Any = committed, go_on: Any = go_on
        ) -> None:
            mine = Task.objects.get()
            mine.message = text
            with transaction.atomic(using=engine):
                # Called before the log's own callback: the event is committed and has no position.
                transaction.on_commit(lambda: (committed.set(), go_on.wait(DEADLINE)), using=engine)
                mine.save()

        outer = in_thread(save_in_a_transaction)
        assert committed.wait(DEADLINE)
        assert log.has_pending()
        task.message = f"alone {round_}"
        task.save()
        go_on.set()
        outer.result(DEADLINE)
    assert [event.version for event in journal()] == list(range(1, 10))
    assert [event.data["message"][:5] for event in journal()] == ["", *["outer", "alone"] * 4]


def test_a_receiver_that_saves_the_task_again_comes_second(engine: str) -> None:
    """What a post_save receiver makes of the change is the next event, after the change itself."""

    def answer(instance: Task, **kwargs: Any) -> None:
        if instance.status == "running" and not instance.phase:
            instance.phase = "began"
            instance.save()

    task = Task.objects.create(name="import")
    with on_save(answer):
        task.start()
    data = [(event.version, event.data["status"], event.data["phase"]) for event in journal()]
    assert data == [(1, "pending", ""), (2, "running", ""), (3, "running", "began")]


def test_a_receiver_that_saves_a_new_task_again_comes_second(engine: str) -> None:
    """The first event of a task shows it as it was created."""

    def answer(instance: Task, created: bool, **kwargs: Any) -> None:
        if created:
            instance.message = "welcome"
            instance.save()

    with on_save(answer):
        task = Task.objects.create(name="import")
    assert [(event.version, event.data["message"]) for event in journal()] == [(1, ""), (2, "welcome")]
    assert (task.version, task.message) == (2, "welcome")


def test_what_a_receiver_leaves_unsaved_is_written_by_the_next_save(engine: str) -> None:
    """An attribute set after the write is a change that waits, not one that was written."""

    def set_only(instance: Task, **kwargs: Any) -> None:
        instance.message = "later"

    with on_save(set_only):
        task = Task.objects.create(name="import")
    task.save()
    assert [(event.version, event.data["message"]) for event in journal()] == [(1, ""), (2, "later")]


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside-atomic"])
def test_a_receiver_that_writes_another_task_comes_second(engine: str, inside: bool) -> None:
    """A task that a receiver writes stands behind the one that caused it, on both paths."""

    def follow(instance: Task, created: bool, **kwargs: Any) -> None:
        if instance.name == "parent" and not created:
            Task.objects.create(name="child").start()

    parent = Task.objects.create(name="parent")
    with on_save(follow):
        if inside:
            with transaction.atomic(using=engine):
                parent.start()
        else:
            parent.start()
    names = [(event.data["name"], event.data["status"]) for event in journal()[1:]]
    assert names == [("parent", "running"), ("child", "pending"), ("child", "running")]


def test_a_receiver_that_rolls_back_its_own_writes_takes_no_event_along(engine: str) -> None:
    """The change itself stays, and so does its event, in front of what the receiver then does."""

    def try_and_fail(instance: Task, created: bool, **kwargs: Any) -> None:
        if instance.name == "parent" and not created:
            with suppress(IntegrityError), transaction.atomic(using=engine):
                Task.objects.create(name="child")
                Task.objects.create(name="twin", pk=instance.pk)
            Task.objects.create(name="second try")

    parent = Task.objects.create(name="parent")
    with on_save(try_and_fail):
        parent.start()
    names = [(event.data["name"], event.data["status"]) for event in journal()[1:]]
    assert names == [("parent", "running"), ("second try", "pending")]
