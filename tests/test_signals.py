"""What Django tells and the log must know: deletions that cascade, owners, and rights that change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import Group, Permission, update_last_login
from django.core import serializers
from django.core.management import call_command
from django.db import transaction

from realtime import log, replay
from realtime.models import Event, Task

User = get_user_model()


def journal() -> list[tuple[str, str, str]]:
    """Kind, owner and previous owner of every event, in the log's order."""
    events = replay.read(0, log.position(), 1000)
    return [(event.kind, event.owner, event.previous_owner) for event in events]


def news(work: Callable[[], Any]) -> list[tuple[str, str, str]]:
    """The events that `work` brings."""
    before = len(journal())
    work()
    assert not log.has_pending()
    return journal()[before:]


def test_a_deleted_user_takes_the_tasks_along(engine: str, make_user: Callable[..., Any]) -> None:
    """The cascade is one event per task, and one for the user, who may see nothing any more."""
    owner, other = make_user(), make_user()
    tasks = [Task.objects.create(name=name, owner=owner) for name in ("a", "b")]
    kept = Task.objects.create(name="c", owner=other)
    pk = str(owner.pk)
    events = news(owner.delete)
    assert sorted(events) == [("task_deleted", pk, "")] * 2 + [("user_changed", pk, "")]
    deleted = Event.objects.filter(kind="task_deleted")
    assert {event.task_id for event in deleted} == {str(task.pk) for task in tasks}
    assert {event.version for event in deleted} == {2}
    assert Task.objects.get() == kept


def test_a_deletion_tells_of_the_row_as_it_was(engine: str, make_user: Callable[..., Any]) -> None:
    """Owner and version come from the row, not from a stale instance."""
    task = Task.objects.create(name="import", owner=make_user())
    stale = Task.objects.get()
    owner = make_user()
    task.owner = owner
    task.save()
    assert news(stale.delete) == [("task_deleted", str(owner.pk), "")]
    assert Event.objects.latest("position").version == 3


def test_a_deletion_of_what_is_gone_is_no_event(engine: str) -> None:
    """Two who delete one task make one event."""
    task = Task.objects.create(name="import")
    twin = Task.objects.get()
    assert len(news(task.delete)) == 1
    assert news(twin.delete) == []


def test_a_rolled_back_deletion_is_no_event(engine: str) -> None:
    """The task is still there, and so is what can be done with it."""
    task = Task.objects.create(name="import")

    def delete_in_vain() -> None:
        with transaction.atomic(using=engine):
            Task.objects.get().delete()
            transaction.set_rollback(True, using=engine)

    assert news(delete_in_vain) == []
    assert len(news(task.start)) == 1


@pytest.mark.requirement("T3")
def test_giving_a_task_to_somebody_is_one_event(engine: str, make_user: Callable[..., Any]) -> None:
    """It carries the owner and the previous owner; from nobody and to nobody as well."""
    one, two = make_user(), make_user()
    first, second = str(one.pk), str(two.pk)
    task = Task.objects.create(name="import")
    for owner, event in [
        (one, ("task_update", first, "")),
        (two, ("task_update", second, first)),
        (None, ("task_update", "", second)),
    ]:
        task.owner = owner
        assert news(task.save) == [event]
    task.owner = one
    task.save()
    assert news(task.start) == [("task_update", first, "")]


def test_a_retried_task_may_be_deleted(engine: str) -> None:
    """The retry keeps the fact that it is one."""
    first = Task.objects.create(name="import")
    retry = Task.objects.create(name="import", retry_of=first)
    pk = first.pk
    first.delete()
    retry = Task.objects.get(pk=retry.pk)
    assert retry.retry_of_id == pk
    assert len(news(retry.start)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda user: (setattr(user, "is_active", False), user.save()),
        lambda user: (user.set_password("new"), user.save()),
        lambda user: (setattr(user, "is_superuser", True), user.save(update_fields=["is_superuser"])),
        lambda user: user.groups.add(Group.objects.create(name="watchers")),
        lambda user: user.user_permissions.add(Permission.objects.get(codename="view_task")),
        lambda user: user.user_permissions.clear(),
    ],
    ids=["deactivated", "password", "superuser", "group", "permission", "permissions-cleared"],
)
def test_rights_that_change_are_an_internal_event(
    engine: str, make_user: Callable[..., Any], change: Callable[[Any], Any]
) -> None:
    """One event names the user; no client sees it, every hub does."""
    user = make_user()
    assert news(lambda: change(user)) == [("user_changed", str(user.pk), "")]


def test_rights_of_a_group_may_be_anybodys(engine: str, make_user: Callable[..., Any]) -> None:
    """When a group changes, or members are added from its side, the event names nobody."""
    group = Group.objects.create(name="watchers")
    permission = Permission.objects.get(codename="view_task")
    assert news(lambda: group.permissions.add(permission)) == [("user_changed", "", "")]
    assert news(lambda: group.permissions.remove(permission)) == [("user_changed", "", "")]
    assert news(lambda: group.user_set.add(make_user())) == [("user_changed", "", "")]


def test_what_changes_no_right_is_no_event(engine: str, make_user: Callable[..., Any]) -> None:
    """A new user is nobody's client yet, and to log in changes nothing."""
    user = make_user(password="right")
    assert journal() == []
    assert news(lambda: update_last_login(None, user)) == []
    assert news(lambda: authenticate(username=user.username, password="wrong")) == []
    assert news(lambda: user.groups.add()) == []


def test_a_rolled_back_right_is_no_event(engine: str, make_user: Callable[..., Any]) -> None:
    """The event is written in the transaction that changes the user."""
    user = make_user()

    def deactivate_in_vain() -> None:
        with transaction.atomic(using=engine):
            user.is_active = False
            user.save()
            transaction.set_rollback(True, using=engine)

    assert news(deactivate_in_vain) == []


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
def test_users_of_another_database_are_told_of_too(engine: str) -> None:
    """Where users and log live apart, the event goes to the log's database all the same."""
    elsewhere = {"default": "postgres", "postgres": "default"}[engine]
    user = User(username="far away")
    user.save(using=elsewhere)
    assert news(lambda: user.save(using=elsewhere)) == [("user_changed", str(user.pk), "")]


def test_users_from_a_fixture_make_no_events(engine: str, tmp_path: Path) -> None:
    """A fixture fills a database nobody is connected to."""
    fixture = tmp_path / "users.json"
    fixture.write_text(serializers.serialize("json", [User(pk=7, username="loaded", password="!")]))
    assert news(lambda: call_command("loaddata", str(fixture), database=engine, verbosity=0)) == []
    assert User.objects.get().pk == 7
