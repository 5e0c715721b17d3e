"""The staff form in the admin: who may use it, what it sends, and how a notice is taken back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from realtime import broadcasts, log
from realtime.models import Broadcast, Event
from tests.broadcast_form import ADD, FORM, LIST

Users = Callable[..., Any]


CONFIRMED = {"_confirmed": "yes"}


@pytest.fixture
def staff(make_user: Users) -> Any:
    """A member of staff who may broadcast."""
    user = make_user("ann", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_broadcast"))
    return user


@pytest.fixture
def client(staff: Any) -> Client:
    """Her browser."""
    client = Client()
    client.force_login(staff)
    return client


def told() -> list[dict[str, Any]]:
    """Return what the broadcasts of the log carry."""
    log.sequence()
    return [row.data for row in Event.objects.filter(kind="broadcast").order_by("position")]


@pytest.mark.requirement("C2")
def test_only_who_may_broadcast_sees_the_form(engine: str, make_user: Users) -> None:
    """Staff without the permission get 403, also for a post; others the login page; nothing is sent."""
    staff, other = make_user(is_staff=True), make_user()
    for user, status in ((staff, 403), (other, 302)):
        client = Client()
        client.force_login(user)
        assert client.get(ADD).status_code == status
        assert client.post(ADD, FORM).status_code == status
    assert told() == []


@pytest.mark.requirement("C4")
def test_the_form_sends(engine: str, client: Client, staff: Any) -> None:
    """To everyone, now, with an hour's window unless it says otherwise; the history shows it."""
    assert client.get(ADD).status_code == 200
    answer = client.post(ADD, FORM | {"title": "Power", "level": "critical"} | CONFIRMED, follow=True)
    (sent,) = told()
    assert (sent["sender"], sent["audience"]) == ("ann", {"kind": "everyone"})
    assert (sent["message"]["title"], sent["message"]["level"]) == ("Power", "critical")
    row = Broadcast.objects.get()
    assert (row.sender, row.ends_at - row.starts_at) == (staff, timedelta(hours=1))
    assert "Power" in answer.text
    assert "Sent" in client.get(LIST).text


@pytest.mark.requirement("C5")
def test_the_audience_is_chosen_in_the_form(engine: str, client: Client, make_user: Users) -> None:
    """Staff, a group, or users by their names."""
    group, one, two = Group.objects.create(name="Editors"), make_user("one"), make_user("two")
    client.post(ADD, FORM | {"audience_kind": "staff"})
    client.post(ADD, FORM | {"audience_kind": "group", "group": group.pk})
    client.post(ADD, FORM | {"audience_kind": "users", "users": "one, two"})
    assert [sent["audience"] for sent in told()] == [
        {"kind": "staff"},
        {"kind": "group", "group": str(group.pk), "name": "Editors"},
        {"kind": "users", "users": sorted([str(one.pk), str(two.pk)])},
    ]


@pytest.mark.requirement("C3")
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("message", {"message": ""}),
        ("message", {"message": "<p></p>"}),
        ("message", {"message": "x" * 4001}),
        ("title", {"title": "x" * 201}),
        ("level", {"level": "panic"}),
        ("audience_kind", {"audience_kind": "nobody"}),
        ("group", {"audience_kind": "group"}),
        ("group", {"audience_kind": "group", "group": "987654321"}),
        ("users", {"audience_kind": "users"}),
        ("users", {"audience_kind": "users", "users": "who?"}),
        ("ends_at", {"ends_at_0": "2020-01-01", "ends_at_1": "00:00"}),
        ("starts_at", {"starts_at_0": "someday", "starts_at_1": ""}),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    engine: str, client: Client, field: str, values: dict[str, str]
) -> None:
    """The form comes back with what was typed, and nothing is sent."""
    answer = client.post(ADD, FORM | values)
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert told() == []


@pytest.mark.requirement("C3")
@pytest.mark.requirement("K20")
def test_markup_is_taken_out_and_what_is_left_is_escaped(engine: str, client: Client) -> None:
    """Neither the event nor a page of the admin holds a tag that somebody typed."""
    client.post(
        ADD,
        FORM
        | {"title": "<script>alert(1)</script>", "message": "<img src=x onerror=alert(2)> a<b"}
        | CONFIRMED,
    )
    (sent,) = told()
    assert (sent["message"]["title"], sent["message"]["message"]) == ("alert(1)", "a< b")
    assert "<script>alert" not in client.get(LIST).text
    detail = client.get(f"{LIST}{Broadcast.objects.get().pk}/change/")
    assert "<img src=x" not in detail.text


@pytest.mark.requirement("C6")
def test_the_action_takes_notices_back(engine: str, client: Client) -> None:
    """After it has asked, and those that were taken back before are counted apart."""
    one, two = broadcasts.send("one"), broadcasts.send("two")
    broadcasts.retract(two)
    chosen = {"action": "retract_selected", "_selected_action": [str(one.pk), str(two.pk)]}
    asked = client.post(LIST, chosen)
    assert "To be retracted: 1 broadcast" in asked.text
    assert "Skipped: 1 broadcast" in asked.text
    assert not Broadcast.objects.filter(pk=one.pk, retracted_by="ann").exists()
    answer = client.post(LIST, chosen | {"post": "yes"}, follow=True)
    assert "1 retracted." in answer.text
    assert "1 skipped" in answer.text
    assert Broadcast.objects.get(pk=one.pk).retracted_by == "ann"


@pytest.mark.requirement("C5")
def test_what_was_said_can_be_neither_changed_nor_deleted(engine: str, client: Client) -> None:
    """It is the record of who said what to whom, and when; also for a superuser."""
    sent = broadcasts.send("soon", audience="staff", starts_at=timezone.now() + timedelta(hours=1))
    page = f"{LIST}{sent.pk}/"
    assert "Scheduled" in client.get(f"{page}change/").text
    assert client.post(f"{page}change/", FORM).status_code == 403
    assert client.post(f"{page}delete/", {"post": "yes"}).status_code == 403
    assert Broadcast.objects.get().message == "soon"
