"""Rights that change while a connection is open reach it, whether Django tells of it or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import Group, Permission, UserManager

from realtime import database, rights
from realtime.auth import identity
from realtime.events import Viewer
from realtime.exceptions import RIGHTS_CHANGED, USER_INACTIVE, Problem, Refused
from realtime.hub import Hub
from realtime.models import Task
from realtime.protocol import client
from tests.kit.waiting import aeventually
from tests.peers import Peer, process_hub
from tests.watching import Watcher, token

Hubs = Callable[..., Awaitable[Hub]]
Users = Callable[..., Any]


@pytest.fixture(autouse=True)
def intervals(settings: Any) -> None:
    """The log is looked at all the time."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 0.05}


class StaffSeeEverything(BaseBackend):
    """A site's own rule beside Django's permissions."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Let staff view tasks."""
        return bool(user_obj.is_active and user_obj.is_staff and perm == "realtime.view_task")


def view_task() -> Permission:
    """Return the permission to view all tasks."""
    return Permission.objects.get(content_type__app_label="realtime", codename="view_task")


def by_name(user: Any) -> Callable[[], Any]:
    """Give the permission to the user; return how it is withdrawn."""
    user.user_permissions.add(view_task())
    return lambda: user.user_permissions.remove(view_task())


def by_group(user: Any) -> Callable[[], Any]:
    """Give it to a group of the user's; it is withdrawn from the group."""
    group = Group.objects.create(name=f"group of {user.pk}")
    group.permissions.add(view_task())
    user.groups.add(group)
    return lambda: group.permissions.remove(view_task())


def by_membership(user: Any) -> Callable[[], Any]:
    """Give it to a group of the user's; the user leaves the group."""
    by_group(user)
    return user.groups.clear


def by_superuser(user: Any) -> Callable[[], Any]:
    """Make the user a superuser; it is one no longer."""
    user.is_superuser = True
    user.save()

    def withdraw() -> None:
        user.is_superuser = False
        user.save()

    return withdraw


def deactivate(user: Any) -> None:
    """Close the account."""
    user.is_active = False
    user.save()


async def watching(hub: Hub, user: Any, view_all: bool = False) -> Watcher:
    """Return a client of that user's whose rights have been looked up once."""
    watcher = Watcher(hub, Viewer(str(user.pk), view_all))
    watcher.ask(client.Subscribe(topic="tasks" if view_all else "mine"))
    await watcher.until("subscribed")
    await hub.rights.recheck()
    return watcher


async def refused(watcher: Watcher) -> Problem:
    """Wait until the stream ends, and return why."""
    with pytest.raises(Refused) as caught:
        while True:
            await watcher.next()
    return caught.value.problem


@pytest.mark.requirement("W14")
@pytest.mark.parametrize("end", [deactivate, lambda user: user.delete()], ids=["deactivated", "deleted"])
async def test_a_user_without_an_account_is_ended(
    hubs: Hubs, make_user: Users, end: Callable[[Any], Any]
) -> None:
    """Within one look at the log; the connections of others stay."""
    gone, other = await database.run(make_user), await database.run(make_user)
    hub = await hubs()
    with await watching(hub, gone) as watcher, await watching(hub, other) as bystander:
        await database.run(end, gone)
        assert await refused(watcher) is USER_INACTIVE
        await bystander.settled()


@pytest.mark.requirement("W14")
@pytest.mark.parametrize("give", [by_name, by_group, by_membership, by_superuser])
async def test_a_withdrawn_permission_ends_the_connection(
    hubs: Hubs, make_user: Users, give: Callable[[Any], Callable[[], Any]]
) -> None:
    """Who may view all tasks no longer must come back, however the permission was had."""
    user = await database.run(make_user)
    withdraw = await database.run(give, user)
    hub = await hubs()
    with await watching(hub, user, view_all=True) as watcher:
        await database.run(withdraw)
        assert await refused(watcher) is RIGHTS_CHANGED


@pytest.mark.requirement("W14")
async def test_a_granted_permission_needs_no_new_connection(hubs: Hubs, make_user: Users) -> None:
    """The topic refused before is served after, and others' events with it."""
    user, other = await database.run(make_user), await database.run(make_user)
    hub = await hubs()
    with await watching(hub, user) as watcher:
        watcher.ask(client.Subscribe(topic="tasks"))
        assert (await watcher.until("error"))["code"] == "forbidden"
        await database.run(by_name, user)
        await aeventually(lambda: watcher.stream.viewer.view_all)
        watcher.ask(client.Subscribe(topic="tasks"))
        await watcher.until("subscribed")
        task = await database.run(lambda: Task.objects.create(name="another's", owner=other))
        told = await watcher.until("task_update")
        assert told["task_id"] == str(task.pk)


@pytest.mark.requirement("W14")
async def test_a_change_without_a_signal_is_found_by_the_recheck(
    hubs: Hubs, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QuerySet.update() tells nobody; everybody connected is looked up every few seconds."""
    monkeypatch.setattr(rights, "RECHECK_INTERVAL", 0.2)
    user = await database.run(make_user)
    hub = await hubs()
    with await watching(hub, user) as watcher:
        await database.run(lambda: type(user).objects.filter(pk=user.pk).update(is_active=False))
        assert await refused(watcher) is USER_INACTIVE


@pytest.mark.requirement("W14")
async def test_a_deactivated_users_socket_is_closed(hubs: Hubs, make_user: Users) -> None:
    """4401 with the reason in the last frame."""
    user = await database.run(make_user)
    async with process_hub() as hub, Peer(token(user)) as peer:
        await peer.wait("connected")
        await hub.rights.recheck()
        await database.run(deactivate, user)
        assert await peer.wait_closed() == 4401
        assert peer.frames[-1]["code"] == "user_inactive"


@pytest.mark.requirement("W14")
@pytest.mark.parametrize("custom", [False, True], ids=["models", "custom"])
def test_rights_are_those_that_has_perm_tells(
    engine: str, make_user: Users, settings: Any, custom: bool
) -> None:
    """In one query with Django's backend; asked one by one when the site has its own beside it."""
    if custom:
        settings.AUTHENTICATION_BACKENDS = [identity.MODEL_BACKEND, "tests.test_rights.StaffSeeEverything"]
    users = {
        "nobody": make_user(),
        "staff": make_user(is_staff=True),
        "superuser": make_user(is_superuser=True),
        "inactive": make_user(is_superuser=True, is_active=False),
        "permitted": make_user(),
        "member": make_user(),
    }
    by_name(users["permitted"])
    by_group(users["member"])
    ids, gone = [str(user.pk) for user in users.values()], ["987654321"]
    found = {user_id: viewer.view_all for user_id, viewer in identity.load_active(ids + gone).items()}
    fresh = {name: type(user).objects.get(pk=user.pk) for name, user in users.items()}
    assert found == {
        str(user.pk): user.has_perm("realtime.view_task") for name, user in fresh.items() if user.is_active
    }
    assert found[str(users["staff"].pk)] is custom
    assert found[str(users["member"].pk)]
    assert str(users["inactive"].pk) not in found


class LikeDjangos(ModelBackend):
    """A backend that finds users otherwise and leaves permissions to Django, as log-in packages do."""


@pytest.mark.requirement("W14")
def test_many_users_cost_few_queries_whoever_authenticates_them(
    engine: str, make_user: Users, settings: Any, django_assert_max_num_queries: Any
) -> None:
    """Only a backend with rules of its own is asked user by user."""
    settings.AUTHENTICATION_BACKENDS = [identity.MODEL_BACKEND, "tests.test_rights.LikeDjangos"]
    ids = [str(make_user().pk) for _ in range(20)]
    with django_assert_max_num_queries(3, using=engine):
        assert identity.load_active(ids).keys() == set(ids)


@pytest.mark.requirement("W14")
def test_a_user_model_with_a_manager_of_its_own(
    engine: str, make_user: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`with_perm` is of Django's own manager only; without it each user is asked."""
    monkeypatch.delattr(UserManager, "with_perm")
    seer, other = make_user(), make_user()
    by_name(seer)
    found = identity.load_active([str(seer.pk), str(other.pk)])
    assert {user_id: viewer.view_all for user_id, viewer in found.items()} == {
        str(seer.pk): True,
        str(other.pk): False,
    }
