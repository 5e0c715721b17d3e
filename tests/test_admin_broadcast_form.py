"""The way of a broadcast through the admin's pages: asked once more, sent once, counted, seen by who may."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.db import connections
from django.test import Client
from django.utils import timezone

from realtime import broadcasts
from realtime.models import Broadcast, Connection, Node
from tests.broadcast_form import ADD, FORM, LIST

Users = Callable[..., Any]

TO_STAFF = FORM | {"audience_kind": "staff"}
REACH, PEOPLE = f"{LIST}reach/", f"{LIST}people/"


def person(make_user: Users, right: str, name: str = "") -> Any:
    """A member of staff with one right."""
    user = make_user(name, is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=right))
    return user


def browser_of(user: Any) -> Client:
    """A browser in which somebody is logged in."""
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def client(make_user: Users) -> Client:
    """The browser of ann, who may broadcast."""
    return browser_of(person(make_user, "add_broadcast", "ann"))


def node(seconds: float = 0) -> Node:
    """A server process whose last sign of life is so old."""
    now = timezone.now()
    return Node.objects.create(
        host="web", pid=1, started_at=now - timedelta(hours=1), seen_at=now - timedelta(seconds=seconds)
    )


def connect(node: Node, *users: Any) -> None:
    """Let these be connected to a process, each once for each time he is named."""
    now = timezone.now()
    values = {"transport": "websocket", "format": "json", "address": "::1", "position": 0}
    Connection.objects.bulk_create(
        Connection(id=uuid.uuid4(), node_id=node.pk, user_id=str(u.pk), since=now, seen_at=now, **values)
        for u in users
    )


@pytest.mark.requirement("C7")
@pytest.mark.parametrize("values", [{}, {"audience_kind": "staff", "level": "critical"}])
def test_what_is_critical_or_for_everyone_is_asked_once_more(
    engine: str, client: Client, values: dict[str, str]
) -> None:
    """Nothing is sent before; the page says what, to whom and how many; then it is sent."""
    typed = FORM | {"title": "Power <b>cut</b>", "key": str(uuid.uuid4())} | values
    asked = client.post(ADD, typed)
    assert asked.status_code == 200
    assert "Send this broadcast?" in asked.text
    assert "cancel.js" not in asked.text  # its way back is a button of the form, which keeps what was typed
    assert '<dd data-fact="title">Power cut</dd>' in asked.text
    assert f"<strong>{values.get('audience_kind', 'everyone').capitalize()}</strong>" in asked.text
    assert "0 connections of 0 users" in asked.text
    assert not Broadcast.objects.exists()
    sent = client.post(ADD, hidden(asked.text), follow=True)
    row = Broadcast.objects.get()
    assert (row.title, row.sender_name) == ("Power cut", "ann")
    assert sent.redirect_chain == [(f"{LIST}{row.pk}/change/", 302)]
    assert LogEntry.objects.get().object_id == str(row.pk)


def hidden(page: str) -> dict[str, str]:
    """What the page's form holds, as a browser without JavaScript would send it."""
    fields = re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', page)
    return {name: value.replace("&lt;", "<").replace("&gt;", ">") for name, value in fields}


@pytest.mark.requirement("C7")
def test_what_is_plain_and_for_some_goes_at_once(engine: str, client: Client) -> None:
    """To staff, at a level below critical."""
    client.post(ADD, TO_STAFF)
    assert Broadcast.objects.get().audience == {"kind": "staff"}


@pytest.mark.requirement("C7")
def test_back_keeps_what_was_typed(engine: str, client: Client) -> None:
    """Markup too, which would have been taken out."""
    begin = timezone.now() + timedelta(days=1)
    window = {"starts_at_0": f"{begin:%Y-%m-%d}", "starts_at_1": "12:30:00"}
    asked = client.post(ADD, FORM | window | {"title": "a <b>b</b>", "message": "One\nTwo"})
    assert f"{begin:%Y-%m-%d} 12:30:00, UTC" in asked.text
    again = client.post(ADD, hidden(asked.text) | {"_back": "Back"})
    form = again.context["adminform"].form
    assert form["title"].value() == "a <b>b</b>"
    assert form["message"].value() == "One\nTwo"
    assert f'value="{begin:%Y-%m-%d}"' in again.text
    assert not Broadcast.objects.exists()


@pytest.mark.requirement("C5", "C7")
def test_what_has_a_start_to_come_waits_for_it(engine: str, client: Client) -> None:
    """And ends when it says; who has scheduled it may take it back before anybody has seen it."""
    begin = timezone.now().replace(second=0, microsecond=0) + timedelta(days=1)
    window = {"starts_at_0": f"{begin:%Y-%m-%d}", "starts_at_1": f"{begin:%H:%M}"}
    window |= {"ends_at_0": f"{begin + timedelta(days=1):%Y-%m-%d}", "ends_at_1": "23:00"}
    answer = client.post(ADD, TO_STAFF | window | {"dismissible": ""}, follow=True)
    row = Broadcast.objects.get()
    assert (row.starts_at, row.ends_at.hour, row.published_at, row.dismissible) == (begin, 23, None, False)
    assert "The broadcast is scheduled." in answer.text
    assert "It is sent at" in answer.text
    chosen = {"action": "retract_selected", "_selected_action": str(row.pk), "back": str(row.pk)}
    assert "will not be sent" in client.post(LIST, chosen).text
    gone = client.post(LIST, chosen | {"post": "yes"}, follow=True)
    assert "before it was sent" in gone.text


@pytest.mark.requirement("C7")
def test_an_error_loses_nothing_that_was_typed(engine: str, client: Client) -> None:
    """It stands at its field, in words for people."""
    answer = client.post(ADD, FORM | {"title": "Power", "audience_kind": "group"})
    assert "Choose a group." in answer.text
    assert 'value="Power"' in answer.text
    assert "Soon.</textarea>" in answer.text
    assert "maxlength" not in re.findall(r"<(?:input|textarea)[^>]*id_(?:title|message)", answer.text)
    answer = client.post(ADD, TO_STAFF | {"title": "t" * 201, "message": "m" * 4001})
    assert "at most 200 characters" in answer.text
    assert "at most 4000 characters" in answer.text
    assert "m" * 4001 in answer.text
    assert not Broadcast.objects.exists()


@pytest.mark.requirement("C5", "C7")
def test_a_form_that_is_sent_twice_sends_once(engine: str, client: Client) -> None:
    """A reload, or the way back and the button again: the same page, and a word that nothing was sent."""
    form = TO_STAFF | {"key": str(uuid.uuid4())}
    first, second = (client.post(ADD, form, follow=True) for _ in range(2))
    assert first.redirect_chain == second.redirect_chain
    assert "The broadcast is sent." in first.text
    assert "nothing was sent twice" in second.text
    assert (Broadcast.objects.count(), LogEntry.objects.count()) == (1, 1)


@pytest.mark.requirement("C5", "C7")
def test_a_double_click_sends_once(engine: str, client: Client) -> None:
    """Also when both requests are served at the same moment."""
    user, form = Permission.objects.get(codename="add_broadcast").user_set.get(), TO_STAFF
    browsers, form = [browser_of(user) for _ in range(4)], form | {"key": str(uuid.uuid4())}

    def click(browser: Client) -> str:
        try:
            return str(browser.post(ADD, form)["Location"])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(browsers)) as threads:
        places = set(threads.map(click, browsers))
    assert places == {f"{LIST}{Broadcast.objects.get().pk}/change/"}


@pytest.mark.requirement("C7")
def test_another_text_with_the_key_of_the_last_is_asked_about(engine: str, client: Client) -> None:
    """Who goes back in the browser and writes something new is told, and can send it."""
    form = TO_STAFF | {"key": str(uuid.uuid4())}
    client.post(ADD, form)
    answer = client.post(ADD, form | {"message": "Later."})
    assert "This form has sent another broadcast before" in answer.text
    assert Broadcast.objects.count() == 1
    key = answer.context["adminform"].form["key"].value()
    client.post(ADD, form | {"message": "Later.", "key": key})
    assert Broadcast.objects.count() == 2


@pytest.mark.requirement("C7")
def test_the_reach_is_of_the_chosen_audience(engine: str, client: Client, make_user: Users) -> None:
    """Connections and users, of all live processes."""
    staff, one, two = make_user("chief", is_staff=True), make_user("one"), make_user("two")
    editors = Group.objects.create(name="Editors")
    editors.user_set.add(one)
    connect(node(), staff, one, one)
    connect(node(), one, two)
    for audience, expected in (
        ({"audience_kind": "everyone"}, (5, 3)),
        ({"audience_kind": "staff"}, (1, 1)),
        ({"audience_kind": "group", "group": editors.pk}, (3, 1)),
        ({"audience_kind": "users", "users": "one, two"}, (4, 2)),
    ):
        told = client.post(REACH, audience).json()
        assert (told["connections"], told["users"], told["complete"]) == (*expected, True)
    assert told["text"] == "4 connections of 2 users"
    assert "2 server processes are alive" in told["note"]
    assert client.post(REACH, {"audience_kind": "users", "users": "who"}).json()["problem"] == (
        "Nobody is called who."
    )


@pytest.mark.requirement("C7")
def test_the_reach_says_when_it_is_incomplete(engine: str, client: Client, make_user: Users) -> None:
    """A silent process's clients are not counted, and it says so; it costs the same for any number."""
    user = make_user()
    connect(node(), user)
    connect(node(seconds=60), user, user)
    told = client.post(REACH, {"audience_kind": "everyone"}).json()
    assert (told["connections"], told["complete"], told["silent"]) == (1, False, 1)
    assert told["note"].startswith("Incomplete: 1 of 2 server processes is silent")
    assert timezone.datetime.fromisoformat(told["at"]) > timezone.now() - timedelta(minutes=1)


@pytest.mark.requirement("C7")
def test_users_are_found_by_the_beginning_of_their_names(
    engine: str, client: Client, make_user: Users
) -> None:
    """In small letters too, a few of them, and nothing for nothing."""
    for name in ("Berta", "bernd", "carl", *(f"many{n}" for n in range(12))):
        make_user(name)
    assert client.get(PEOPLE, {"q": "ber"}).json() == {"names": ["bernd", "Berta"], "more": False}
    assert client.get(PEOPLE, {"q": "many"}).json()["more"]
    assert client.get(PEOPLE, {"q": ""}).json() == {"names": [], "more": False}


@pytest.mark.requirement("C2", "C7")
def test_who_may_only_look_can_neither_send_nor_take_back(
    engine: str, client: Client, make_user: Users
) -> None:
    """The history and each page of it, without buttons; nothing of the form; and others nothing at all."""
    client.post(ADD, TO_STAFF)
    page = f"{LIST}{Broadcast.objects.get().pk}/"
    reader, nobody = browser_of(person(make_user, "view_broadcast")), browser_of(make_user(is_staff=True))
    assert 'value="retract_selected"' in client.get(f"{page}change/").text
    shown = reader.get(f"{page}change/")
    assert (shown.status_code, 'value="retract_selected"' in shown.text) == (200, False)
    assert reader.get(f"{page}progress/").status_code == 200
    listed = reader.get(LIST)
    assert (listed.status_code, "retract_selected" in listed.text, "addlink" in listed.text) == (
        *(200, False, False),
    )
    reader.post(LIST, {"action": "retract_selected", "_selected_action": page, "post": "yes"})
    assert Broadcast.objects.get().retracted_at is None
    for url in (ADD, PEOPLE):
        assert reader.get(url).status_code == 403
    assert reader.post(REACH, {"audience_kind": "everyone"}).status_code == 403
    for url in (LIST, f"{page}change/", f"{page}progress/", PEOPLE):
        assert nobody.get(url).status_code == 403


@pytest.mark.requirement("C1", "C7")
def test_the_page_of_a_broadcast_says_what_has_become_of_it(
    engine: str, client: Client, make_user: Users
) -> None:
    """Scheduled, sent and how far, retracted by whom; of what is counted it says whether it is all."""
    one, two = node(), node()
    connect(one, make_user())
    sent = broadcasts.send("Now.")
    connect(one, make_user())  # came later
    page = f"{LIST}{sent.pk}/progress/"
    assert "Reached 0 of about 1 connection." in client.get(page).text
    broadcasts.report_reach(sent.pk, one.pk, 1, engine)
    assert "1 of 2 server processes told" in client.get(page).text
    assert "1, incomplete" in client.get(LIST).text
    broadcasts.report_reach(sent.pk, two.pk, 3, engine)
    told = client.get(page).text
    assert "Reached 4 connections." in told
    assert "Complete: 2 server processes were alive, and all have told." in told
    broadcasts.retract(sent, by=Permission.objects.get(codename="add_broadcast").user_set.get())
    assert "Retracted by ann" in client.get(page).text
    assert "Retracted by ann" in client.get(LIST).text
    later = broadcasts.send("Later.", starts_at=timezone.now() + timedelta(hours=1))
    assert "It would reach 2 connections of 2 users now." in client.get(f"{LIST}{later.pk}/progress/").text
    assert "Later." in client.get(LIST, {"state": "scheduled"}).text
    assert "Later." not in client.get(LIST, {"state": "sent"}).text
