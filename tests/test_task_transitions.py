"""Which changes of a task are legal: statuses, and what final means."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import FINAL, STATUSES, rfc3339
from realtime.exceptions import IllegalTransition, InvalidValue
from realtime.models import Event, Task
from realtime.models.public import public_data
from realtime.models.transitions import OPEN_WHEN_FINAL, check_change, check_transition

#: The whole table, written out: what may follow a status.
MAY_BECOME = {
    "pending": {"running", "failed", "cancelled"},
    "running": {"completed", "failed", "cancelled"},
    "completed": set(),
    "failed": set(),
    "cancelled": set(),
}
PAIRS = [(before, after) for before, after in product(STATUSES, STATUSES) if before != after]


def by_save(task: Task, status: str) -> None:
    """Change the status by hand."""
    task.status = status
    task.save()


def by_update(task: Task, status: str) -> None:
    """Change the status of many."""
    Task.objects.filter(pk=task.pk).update(status=status)


def as_stored() -> list[dict[str, Any]]:
    """Every field of every task."""
    return list(Task.objects.order_by("pk").values())


@pytest.mark.requirement("T1")
@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_only_legal_transitions(engine: str, before: str, after: str) -> None:
    """A legal transition is one event; an illegal one raises and changes nothing, on both ways."""
    for write in (by_save, by_update):
        task = Task.objects.create(name="import", status=before)
        stored, events = as_stored(), Event.objects.count()
        if after in MAY_BECOME[before]:
            write(task, after)
            assert Task.objects.get(pk=task.pk).status == after
            assert Event.objects.count() == events + 1
        else:
            with pytest.raises(IllegalTransition):
                write(task, after)
            assert as_stored() == stored
            assert Event.objects.count() == events


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("status", sorted(FINAL))
def test_final_is_final(engine: str, status: str) -> None:
    """Nothing of a finished task changes but its name, its owner and what no client sees."""
    task = Task.objects.create(name="import", status=status)
    for name, value in {"message": "more", "progress": 7, "result": 1, "done": 3, "error": "no"}.items():
        again = Task.objects.get()
        setattr(again, name, value)
        with pytest.raises(IllegalTransition):
            again.save()
        with pytest.raises(IllegalTransition):
            Task.objects.update(**{name: value})
    task.name = "import of Monday"
    task.save()
    assert Task.objects.get().name == "import of Monday"


@pytest.mark.requirement("T1")
def test_a_stale_instance_cannot_bring_a_finished_task_back(engine: str) -> None:
    """Whoever loaded the task while it ran can neither reopen it nor write over its end."""
    task = Task.objects.create(name="import", status="running")
    stale = Task.objects.get()
    task.complete(result={"rows": 3})
    stored = as_stored()
    stale.save()
    stale.message = "half way"
    with pytest.raises(IllegalTransition):
        stale.save()
    with pytest.raises(IllegalTransition):
        stale.fail("too late")
    stale = Task.objects.get()
    stale.status = "running"
    with pytest.raises(IllegalTransition):
        stale.save()
    assert as_stored() == stored


def test_an_unknown_status_is_refused(engine: str) -> None:
    """A word that is no status never reaches the row."""
    task = Task.objects.create(name="import")
    task.status = "paused"
    with pytest.raises(InvalidValue):
        task.save()
    with pytest.raises(InvalidValue):
        Task.objects.update(status="paused")
    with pytest.raises(InvalidValue):
        Task.objects.create(name="import", status="paused")
    assert Task.objects.get().status == "pending"


def test_times_are_set_by_the_transitions(engine: str) -> None:
    """started_at and finished_at come with their status, and are told as RFC 3339 with Z."""
    task = Task.objects.create(name="import")
    assert (task.started_at, task.finished_at) == (None, None)
    task.start()
    assert task.started_at is not None
    assert task.finished_at is None
    task.complete()
    assert task.finished_at >= task.started_at >= task.created_at
    assert task.progress == 100
    data = Event.objects.latest("position").data
    for name in ("created_at", "updated_at", "started_at", "finished_at"):
        assert data[name] == rfc3339(getattr(task, name))
        assert data[name].endswith("Z")


def test_times_are_set_by_an_update_too(engine: str) -> None:
    """QuerySet.update brings with it what save() does."""
    task = Task.objects.create(name="import")
    Task.objects.update(status="running")
    Task.objects.update(status="completed")
    task.refresh_from_db()
    assert task.finished_at >= task.started_at >= task.created_at
    assert (task.progress, task.version) == (100, 3)
    assert Event.objects.latest("position").data == public_data(task)


@given(st.sampled_from(STATUSES), st.sampled_from(STATUSES))
def test_check_transition_agrees_with_the_table(before: str, after: str) -> None:
    """The rule itself, apart from any database; staying is always allowed."""
    if before == after or after in MAY_BECOME[before]:
        check_transition(before, after)
    else:
        with pytest.raises(IllegalTransition):
            check_transition(before, after)


@given(st.sampled_from(STATUSES), st.sets(st.sampled_from([f.attname for f in Task._meta.concrete_fields])))
def test_check_change_agrees_with_what_is_open(status: str, changed: set[str]) -> None:
    """A finished task may change only in what stays open."""
    if status in FINAL and changed - OPEN_WHEN_FINAL:
        with pytest.raises(IllegalTransition):
            check_change(status, changed)
    else:
        check_change(status, changed)
