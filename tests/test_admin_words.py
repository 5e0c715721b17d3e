"""What the admin's pages tell without a script: silence and pace, names, one form of time, whole numbers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import models
from django.test import Client, override_settings
from django.test.utils import override_script_prefix
from django.utils import timezone

from realtime import broadcasts
from realtime.models import Connection, Event, Node, Task

TASKS, LIVE = "/admin/realtime/task/", "/admin/realtime/live/"
CONNECTIONS, NODES, EVENTS = (f"/admin/realtime/{name}/" for name in ("connection", "node", "event"))
#: Django's own form of a time, in American English.
AMERICAN = re.compile(r"\b[ap]\.m\.|\b(?:noon|midnight)\b")


@pytest.fixture
def admin(make_user: Callable[..., Any]) -> Client:
    """A browser of somebody who may do everything."""
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    return client


def page(client: Client, path: str) -> str:
    """The text of a page, its no-break spaces as any others."""
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.text.replace("\N{NO-BREAK SPACE}", " ")


def running(seconds: float, **fields: Any) -> Task:
    """A task that has been running for so long, and has just told how far it is."""
    begin = timezone.now() - timedelta(seconds=seconds)
    made: Task = Task.objects.create(name="import", status="running", started_at=begin, **fields)
    return made


def last_heard(task: Task, minutes: float) -> None:
    """Let the last report of a task be so old."""
    at = timezone.now() - timedelta(minutes=minutes)
    models.QuerySet(Task).filter(pk=task.pk).update(updated_at=at)


def test_staff_see_that_a_task_is_silent(engine: str, admin: Client) -> None:
    """In the list and on its page; not of one that is to stop, or has just been heard of."""
    task = running(3600, total=100, done=50)
    paths = (TASKS, f"{TASKS}{task.pk}/change/")
    assert not any("No news" in page(admin, path) for path in paths)
    last_heard(task, 20.5)
    for path in paths:
        assert "No news for 20 min</span>" in page(admin, path)
    last_heard(task, 185)
    assert "No news for 3 h 5 min</span>" in page(admin, TASKS)
    task.cancel()
    last_heard(task, 20)
    assert "No news" not in page(admin, TASKS)


def test_the_dashboard_asks_for_attention_to_a_silent_task(engine: str, admin: Client) -> None:
    """It does not say that nothing needs attention."""
    task = running(3600)
    last_heard(task, 20.5)
    text = page(admin, LIVE)
    assert f'id="attention-{task.pk}"' in text
    assert "<td>No news for 20 min</td>" in text
    assert "Nothing needs attention" not in text


@pytest.mark.requirement("T2")
@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"total": 600, "done": 200}, r"2\.0 per s · about 3 min left"),
        ({"total": 250, "done": 50}, r"30 per min · about 6 min left"),
        ({"done": 4000}, r"40 per s"),
        ({"progress": 80}, r"about 2\d s left"),
        ({}, ""),
    ],
)
def test_the_page_of_a_task_tells_its_pace(
    engine: str, admin: Client, fields: dict[str, Any], told: str
) -> None:
    """How fast and how long yet, as far as anybody can know."""
    task = running(100, **fields)
    found = re.search(r'<span class="rt-speed"[^>]*>([^<]*)</span>', page(admin, f"{TASKS}{task.pk}/change/"))
    assert found is not None
    assert re.fullmatch(told, found[1])


@pytest.mark.requirement("T2")
def test_of_a_silent_task_no_pace_is_guessed(engine: str, admin: Client) -> None:
    """Of one that has ended it is known how fast it was."""
    task = running(100, total=600, done=200)
    last_heard(task, 5)
    assert "per s" not in page(admin, f"{TASKS}{task.pk}/change/")
    task.complete()
    text = page(admin, f"{TASKS}{task.pk}/change/")
    assert "2.0 per s" in text
    assert "left</span>" not in text


def test_nothing_on_the_page_of_a_task_has_a_status_that_will_be_old(engine: str, admin: Client) -> None:
    """Its title, its heading and the way to it name the task alone."""
    task = running(10)
    text = page(admin, f"{TASKS}{task.pk}/change/")
    assert "<title>import | Change task" in text
    assert "(running)" not in text


def test_numbers_that_scripts_read_are_whole_in_every_language(engine: str, admin: Client) -> None:
    """Also where a site groups the digits of all numbers that its pages show."""
    task = running(10, owner=get_user_model().objects.create(pk=1_234_567, username="heir"))
    models.QuerySet(Task).filter(pk=task.pk).update(version=1204)
    with override_settings(USE_THOUSAND_SEPARATOR=True):
        text = page(admin, f"{TASKS}{task.pk}/change/")
        assert 'data-version="1204"' in text
        assert 'data-owner="1234567"' in text
        for path in (TASKS, LIVE, f"{TASKS}{task.pk}/change/", "/admin/realtime/broadcast/add/"):
            assert (
                re.findall(r'(?:data-[\w-]+|viewBox|value|href|max)="\d+,\d[^"]*"', page(admin, path)) == []
            )


def test_the_live_pages_find_the_site_below_any_prefix(engine: str, admin: Client) -> None:
    """As the page's own addresses: where a proxy has put the whole site below a path."""
    sent = broadcasts.send("Soon.")
    task = running(10)
    for path in (TASKS, f"{TASKS}{task.pk}/change/", LIVE, f"/admin/realtime/broadcast/{sent.pk}/change/"):
        bar = page(admin, path).partition('id="rt-bar"')[2].partition(">")[0]
        assert 'data-socket="/ws"' in bar
        with override_script_prefix("/shop/"):
            below = page(admin, path).partition('id="rt-bar"')[2].partition(">")[0]
        assert 'data-socket="/shop/ws"' in below
        for name, place in (("stream", "events"), ("polling", "api/events/"), ("ticket", "api/ticket/")):
            assert f'data-{name}="/shop/{place}"' in below


def test_a_status_is_chosen_within_a_search(engine: str, admin: Client) -> None:
    """And left without losing it."""
    running(10)
    text = page(admin, f"{TASKS}?q=imp&p=1")
    assert 'href="?q=imp&amp;status__exact=running"' in text
    assert 'href="?q=imp"' in page(admin, f"{TASKS}?q=imp&status__exact=running")


def test_a_connection_and_its_process_have_names(engine: str, admin: Client) -> None:
    """Whose it is, how it goes for it, and where; no ids, no JSON, no red cross for what is well."""
    now, owner = timezone.now(), admin.get("/admin/").context["user"]
    node = Node.objects.create(host="web-1", pid=12_345, started_at=now, seen_at=now)
    values = {"transport": "websocket", "format": "json", "address": "::1", "position": 7, "sent": 1204}
    one = Connection.objects.create(
        **{"id": uuid.uuid4(), "node_id": node.pk, "user_id": str(owner.pk), "since": now, "seen_at": now},
        **{**values, "topics": ["broadcasts", "mine"]},
    )
    text = page(admin, CONNECTIONS)
    for told in ("web-1, process 12345", owner.username, "1,204", 'data-pace="well">Keeps up'):
        assert told in text
    for other in ("icon-no", str(node.pk), "Overflows"):
        assert other not in text
    text = page(admin, f"{CONNECTIONS}{one.pk}/change/")
    assert f"<title>{owner.username}, websocket" in text
    assert "broadcasts, mine" in text
    assert "[&quot;" not in text
    assert "<h1>Server processes</h1>" in page(admin, NODES)
    assert "web-1, process 12345" in page(admin, NODES)


def test_the_names_on_a_list_of_connections_cost_two_queries(
    engine: str, admin: Client, django_assert_max_num_queries: Any
) -> None:
    """However many there are."""
    now, owner = timezone.now(), admin.get("/admin/").context["user"]
    node = Node.objects.create(host="web-1", pid=1, started_at=now, seen_at=now)
    values = {"transport": "websocket", "format": "json", "address": "::1", "position": 7, "node_id": node.pk}
    Connection.objects.bulk_create(
        Connection(id=uuid.uuid4(), user_id=str(owner.pk), since=now, seen_at=now, **values)
        for _ in range(30)
    )
    with django_assert_max_num_queries(10, using=engine):
        assert page(admin, CONNECTIONS).count("web-1, process 1") == 30


def test_every_page_has_one_form_of_time(engine: str, admin: Client) -> None:
    """Lists and fields as the panels and the timeline: 2026-11-21 14:13:31."""
    now = timezone.now()
    Node.objects.create(host="web-1", pid=1, started_at=now, seen_at=now)
    sent, task = broadcasts.send("Soon."), running(10)
    event = Event.objects.filter(position__isnull=False).latest("position")
    lists = [f"/admin/realtime/{name}/" for name in ("task", "broadcast", "event", "connection", "node")]
    pages = [f"/admin/realtime/broadcast/{sent.pk}/change/", f"{EVENTS}{event.pk}/change/"]
    for path in (*lists, *pages, f"{TASKS}{task.pk}/change/"):
        text = page(admin, path)
        assert AMERICAN.findall(text.partition('id="content"')[2]) == [], path
    local: datetime = timezone.localtime(sent.created_at)
    assert f">{local:%Y-%m-%d %H:%M:%S}</time>" in page(admin, pages[0])


def test_lists_are_ordered_by_the_times_they_show(engine: str, admin: Client) -> None:
    """A column's heading turns the order round, and says so."""
    for text in ("One", "Two"):
        broadcasts.send(text)
    path = "/admin/realtime/broadcast/"
    assert [str(row) for row in admin.get(path).context["cl"].result_list] == ["Two", "One"]
    assert [str(row) for row in admin.get(f"{path}?o=5").context["cl"].result_list] == ["One", "Two"]
    assert "sorted ascending" in page(admin, f"{path}?o=5")
    tasks = [running(10), running(20)]
    oldest_first = admin.get(f"{TASKS}?o=5").context["cl"].result_list
    assert [row.pk for row in oldest_first] == [task.pk for task in tasks]
