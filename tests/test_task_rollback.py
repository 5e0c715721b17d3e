"""A save that failed or was rolled back can be repeated: nothing is taken for written that is not."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from realtime.models import Event, Task
from realtime.models.public import public_data


class Undone(Exception):
    """What the caller's own work may raise after the save."""


def save_and_fail(task: Task, using: str) -> None:
    """Save within a transaction that is rolled back."""
    with transaction.atomic(using=using):
        task.save()
        raise Undone


@pytest.mark.requirement("F9")
@pytest.mark.requirement("K12")
def test_a_rolled_back_save_is_written_by_the_next_one(engine: str, make_user: Callable[..., Any]) -> None:
    """After a rollback the same ``save()`` writes the row and its event."""
    task = Task.objects.create(name="first", owner=make_user())
    task.name = "second"
    with pytest.raises(Undone):
        save_and_fail(task, engine)
    assert Task.objects.get(pk=task.pk).name == "first"
    task.save()
    assert Task.objects.get(pk=task.pk).name == "second"
    names = Event.objects.filter(task_id=task.pk).order_by("position")
    assert [event.data["name"] for event in names] == ["first", "second"]


def test_a_rolled_back_change_is_forgotten_by_refreshing(engine: str) -> None:
    """``refresh_from_db`` after a rollback leaves nothing to be written."""
    task = Task.objects.create(name="first")
    task.name = "second"
    with pytest.raises(Undone):
        save_and_fail(task, engine)
    task.refresh_from_db()
    task.save()
    assert Task.objects.get(pk=task.pk).name == "first"
    assert Event.objects.filter(task_id=task.pk).count() == 1


def test_two_saves_in_a_rolled_back_transaction_are_both_written_again(engine: str) -> None:
    """What either of two saves wrote is written by the next one after the rollback."""
    task = Task.objects.create(name="first")
    task.name = "second"
    with pytest.raises(Undone), transaction.atomic(using=engine):
        task.save()
        task.message = "hello"
        save_and_fail(task, engine)
    task.save()
    found = Task.objects.get(pk=task.pk)
    assert (found.name, found.message) == ("second", "hello")


@pytest.mark.requirement("F9")
def test_an_owner_given_through_the_users_set_is_an_event(engine: str, make_user: Callable[..., Any]) -> None:
    """``user.realtime_tasks.add(task)`` is a change like any other."""
    before, after = make_user(), make_user()
    task = Task.objects.create(name="import", owner=before)
    after.realtime_tasks.add(task)
    event = Event.objects.filter(task_id=task.pk).latest("position")
    assert (event.owner, event.previous_owner) == (str(after.pk), str(before.pk))
    assert event.version == Task.objects.get(pk=task.pk).version == 2


@pytest.mark.requirement("T1")
def test_a_whole_life_within_one_transaction(engine: str, settings: Any) -> None:
    """Each call goes on from what the one before it wrote: versions rise by one, the end is at 100."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}
    task = Task.objects.create(name="import")
    with transaction.atomic(using=engine):
        task.start()
        task.report(3, message="half way")
        task.name = "renamed"
        task.save()
        task.complete({"rows": 3})
    row = Task.objects.get(pk=task.pk)
    assert (row.status, row.progress, row.version) == ("completed", 100, 5)
    assert (row.name, row.message, row.result) == ("renamed", "half way", {"rows": 3})
    assert not task.changes()
    told = Event.objects.filter(task_id=str(task.pk)).order_by("position")
    assert [event.version for event in told] == [1, 2, 3, 4, 5]
    assert told[4].data == public_data(row)


@pytest.mark.requirement("T1")
def test_a_call_after_a_savepoint_that_was_rolled_back(engine: str, settings: Any) -> None:
    """What it had written is not in the row; the next call counts from the row, and loses nothing."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}
    task = Task.objects.create(name="import")
    with transaction.atomic(using=engine):
        task.start()
        task.message = "never saved"
        with pytest.raises(Undone):
            save_and_fail(task, engine)
        task.report(7)
        task.save()
    row = Task.objects.get(pk=task.pk)
    assert (row.progress, row.message, row.version) == (7, "never saved", 4)
    versions = [event.version for event in Event.objects.filter(task_id=str(task.pk)).order_by("position")]
    assert versions == [1, 2, 3, 4]
