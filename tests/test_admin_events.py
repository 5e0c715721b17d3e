"""The event log in the admin: found by kind, task and position, and never changed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from realtime import log, publish
from realtime.models import Event, Task

LIST = "/admin/realtime/event/"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def reader(make_user: Callable[..., Any]) -> Client:
    """A member of the staff who may see the log."""
    user, client = make_user(is_staff=True), Client()
    user.user_permissions.set(Permission.objects.filter(codename="view_event"))
    log.sequence()
    client.force_login(user)
    return client


def shown(client: Client, query: str = "") -> list[Event]:
    """The events on the first page of the list."""
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200, response.get("Location")
    return list(response.context["cl"].result_list)


def test_the_newest_events_come_first(engine: str, reader: Client) -> None:
    """All kinds of them, or one kind; by their position, or against it."""
    task = Task.objects.create(name="import")
    task.start()
    task.delete()
    positions = [event.position for event in shown(reader)]
    assert positions == sorted(positions, reverse=True)
    assert positions[0] == log.position()
    assert [event.position for event in shown(reader, "o=0")] == positions[::-1]
    assert [event.kind for event in shown(reader, "kind__exact=task_deleted")] == ["task_deleted"]
    updates = shown(reader, "kind__exact=task_update")
    assert [event.version for event in updates] == [2, 1]
    assert [event.version for event in shown(reader, "kind__exact=task_update&o=0")] == [1, 2]


def test_search_finds_a_task_or_a_position_exactly(engine: str, reader: Client) -> None:
    """The id in any notation of it; a part of an id, a word and another's id find nothing."""
    task, other = Task.objects.create(name="import"), Task.objects.create(name="export")
    task.start()
    for text in (str(task.pk), task.pk.hex, str(task.pk).upper(), f"+{task.pk}+"):
        assert [event.version for event in shown(reader, f"q={text}")] == [2, 1]
        assert [event.version for event in shown(reader, f"q={text}&o=0")] == [1, 2]
    position = Event.objects.get(task_id=str(other.pk)).position
    assert [event.task_id for event in shown(reader, f"q={position}")] == [str(other.pk)]
    for text in (str(task.pk)[:8], "import", uuid.uuid4(), "9" * 18, "9" * 5000, "%F0%9F%98%80", "'--"):
        assert shown(reader, f"q={text}") == []


def test_search_finds_a_topic_of_the_projects(engine: str, reader: Client) -> None:
    """Its events, each with the word for what happened; the data of one, whole."""
    publish("order.42", "paid", {"total": SCRIPT}, audience="staff")
    publish("order.420", "paid")
    publish("order.42", "shipped")
    assert [e.data["event"] for e in shown(reader, "q=order.42")] == ["shipped", "paid"]
    assert [e.data["event"] for e in shown(reader, "q=order.42&o=0")] == ["paid", "shipped"]
    assert shown(reader, "q=order") == shown(reader, "q=order.4") == []
    assert [e.topic for e in shown(reader, "kind__exact=topic_event")] == [
        "order.42",
        "order.420",
        "order.42",
    ]
    assert "order.42: shipped" in reader.get(LIST).content.decode()
    html = reader.get(
        f"{LIST}{Event.objects.filter(topic='order.42').earliest('pk').pk}/change/"
    ).content.decode()
    assert SCRIPT not in html
    for text in ("order.42", "&quot;event&quot;: &quot;paid&quot;", "&quot;kind&quot;: &quot;staff&quot;"):
        assert text in html


@pytest.mark.requirement("K20")
def test_an_event_is_shown_whole_and_as_text(engine: str, reader: Client) -> None:
    """Its data is there, indented, with no markup that anybody wrote."""
    task = Task.objects.create(name=SCRIPT, message=SCRIPT)
    event = Event.objects.get(task_id=str(task.pk))
    response = reader.get(f"{LIST}{event.pk}/change/")
    html = response.content.decode()
    assert SCRIPT not in html
    assert "&quot;message&quot;: &quot;&lt;script&gt;" in html
    assert "default-src 'self'" in response["Content-Security-Policy"]


def test_nobody_changes_the_log(engine: str, reader: Client, make_user: Callable[..., Any]) -> None:
    """Not a superuser either: nothing to add, edit, select or delete, whatever is posted."""
    Task.objects.create(name="import")
    event, before = Event.objects.latest("pk"), list(Event.objects.values())
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    log.sequence()
    before = list(Event.objects.values())
    for method, path in (("get", "add/"), ("post", "add/"), ("post", f"{event.pk}/change/")):
        assert getattr(client, method)(f"{LIST}{path}", {"kind": "broadcast"}).status_code == 403
    assert client.post(f"{LIST}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(event.pk)], "post": "yes"})
    assert list(Event.objects.values()) == before
    assert "delete_selected" not in client.get(LIST).content.decode()


def test_the_log_is_seen_with_its_permission_only(
    engine: str, reader: Client, make_user: Callable[..., Any]
) -> None:
    """A task's page leads to all its events only who may see them."""
    task = Task.objects.create(name="import")
    user, client = make_user(is_staff=True), Client()
    user.user_permissions.set(Permission.objects.filter(codename="view_task"))
    client.force_login(user)
    assert client.get(LIST).status_code == 403
    page, link = f"/admin/realtime/task/{task.pk}/change/", f"{LIST}?q={task.pk}"
    assert link not in client.get(page).content.decode()
    user.user_permissions.add(Permission.objects.get(codename="view_event"))
    assert link in client.get(page).content.decode()
    assert len(shown(client, f"q={task.pk}")) == 1
    assert client.get(f"{LIST}?data__message__contains=secret").status_code == 400
