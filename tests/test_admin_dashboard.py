"""The dashboard's figures, the connections, and who may see and end them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from realtime import log, replay
from realtime.admin import charts, clients, figures
from realtime.models import Connection, Node, Task
from tests.ending import extra
from tests.flows import Sites
from tests.kit.waiting import aeventually
from tests.policy import INLINE

#: More than a buffer holds.
AT_ONCE = """
from django.db import transaction
with transaction.atomic():
    for task in Task.objects.filter(pk__in=ids):
        task.message = 'all at once'
        task.save()
"""
LIVE, PANELS = "/admin/realtime/live/", "/admin/realtime/live/panels/"


@pytest.fixture
def staff(make_user: Callable[..., Any]) -> Callable[..., Client]:
    """Log a member of the staff in, who has these permissions: ``staff("view_task")``."""

    def login(*codenames: str) -> Client:
        user = make_user(is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return login


def connection(user: Any, **fields: Any) -> Connection:
    """Write a connection down, as a hub would."""
    now = timezone.now()
    known = {"transport": "websocket", "format": "json", "address": "10.0.0.7", "position": 1}
    node, _ = Node.objects.get_or_create(pid=7, defaults={"host": "web-1", "started_at": now, "seen_at": now})
    values = {"id": uuid.uuid4(), "node_id": node.pk, "user_id": str(user.pk), "since": now, "seen_at": now}
    return Connection.objects.create(**{**known, **values, **fields})


@pytest.mark.requirement("T3")
def test_each_part_needs_its_permission(
    engine: str, staff: Callable[..., Client], make_user: Callable[..., Any]
) -> None:
    """Tasks those that view them, connections and processes theirs; without the first there is nothing."""
    connection(make_user("ann"))
    for path in (LIVE, PANELS):
        assert staff("view_connection", "view_node", "delete_connection").get(path).status_code == 403
        assert Client().get(path).status_code == 302
    watcher = staff("view_task").get(LIVE).content.decode()
    assert "Running now" in watcher
    assert "Server processes" not in watcher
    assert "Connections</h2>" not in watcher
    assert "Disconnect" not in staff("view_task", "view_connection").get(LIVE).content.decode()
    whole = staff("view_task", "view_connection", "view_node", "delete_connection").get(LIVE)
    text = whole.content.decode()
    assert "Disconnect ann" in text
    assert "web-1, process 7" in text
    assert INLINE.findall(text) == []
    assert "Live dashboard" in staff("view_task").get("/admin/").content.decode()
    assert "Live dashboard" not in staff("view_node").get("/admin/").content.decode()


def test_the_last_hour_is_counted_by_minutes(engine: str) -> None:
    """What ended in each, and how old the oldest waiting task was then; the table holds the same."""
    now = timezone.now()

    def ago(seconds: float) -> Any:
        return now - timedelta(seconds=seconds)

    Task.objects.create(
        name="a", status="completed", created_at=ago(900), started_at=ago(600), finished_at=ago(300)
    )
    Task.objects.create(
        name="b", status="failed", created_at=ago(4000), started_at=ago(3900), finished_at=ago(90)
    )
    Task.objects.create(name="old", status="failed", created_at=ago(9000), finished_at=ago(8000))
    Task.objects.create(name="waits", created_at=ago(130))
    hour = figures.read_hour(now)
    assert [minute for minute, count in enumerate(hour.ended["completed"]) if count] == [55]
    assert [minute for minute, count in enumerate(hour.ended["failed"]) if count] == [58]
    assert (hour.waited[44], hour.waited[48], hour.waited[49]) == (0.0, 240.0, 0.0)
    assert (round(hour.waited[59]), hour.missing) == (130, 0)
    drawn = charts.draw(hour)
    assert (drawn["total"], drawn["failed"], len(drawn["bars"])) == (2, 1, 2)
    assert drawn["longest"] == "4\N{NO-BREAK SPACE}min 0\N{NO-BREAK SPACE}s"
    Task.objects.create(name="waits longest", created_at=ago(1000))
    fresh = charts.draw(figures.read_hour(now)._replace(waited=[0.0] * 60))
    assert fresh["longest"] == fresh["oldest"]  # nobody waits longer than the longest did
    assert [sum(column) for column in zip(*(row["ended"] for row in drawn["rows"]), strict=True)] == [1, 1, 0]


def test_what_needs_attention_says_why(engine: str) -> None:
    """A lost worker, a task that does not stop, a silent one, a failure of the last day; nothing else."""
    now = timezone.now()
    Task.objects.create(name="lost", status="running", lease_expires_at=now - timedelta(minutes=1))
    Task.objects.create(name="deaf", status="running", cancel_requested_at=now - timedelta(minutes=5))
    Task.objects.create(name="failed", status="failed", error="No such file.")
    Task.objects.create(name="old", status="failed", finished_at=now - timedelta(days=2))
    Task.objects.create(name="asked", status="running", cancel_requested_at=now)
    Task.objects.create(name="told", status="running", updated_at=now - timedelta(seconds=100))
    silent = {"status": "running", "updated_at": now - timedelta(minutes=20, seconds=30)}
    Task.objects.create(name="silent", **silent)
    heard = Task.objects.create(name="heard of since", **silent)
    hour = figures.read_hour()
    heard.report(5)
    assert {task.name: why.replace("\N{NO-BREAK SPACE}", " ") for task, why in figures.attention(hour)} == {
        "silent": "No news for 20 min",
        "lost": "Its worker has stopped reporting",
        "deaf": "Was asked to stop, and has not",
        "failed": "No such file.",
    }


def test_a_silent_task_is_found_behind_any_number_of_newer_ones(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the oldest that are forgotten."""
    monkeypatch.setattr(figures, "SAMPLE", 2)
    long_ago = timezone.now() - timedelta(hours=1)
    forgotten = {"status": "running", "created_at": long_ago, "updated_at": long_ago}
    Task.objects.create(name="forgotten", **forgotten)
    for number in range(4):
        Task.objects.create(name=f"newer {number}", status="running")
    assert [task.name for task, _ in figures.attention(figures.read_hour())] == ["forgotten"]


@pytest.mark.requirement("F5")
def test_slow_clients_come_first_and_are_told_in_words(engine: str, make_user: Callable[..., Any]) -> None:
    """On the dashboard and in the list: who is behind, who was, who keeps up."""
    ann, bob, eve = (make_user(name) for name in ("ann", "bob", "eve"))
    connection(eve)
    connection(bob, overflows=3, rtt_last_ms=12.4, rtt_mean_ms=20)
    connection(ann, behind=True, overflows=1)
    assert [(one["who"], one["pace"][1], one["trip"]) for one in clients.clients(may_disconnect=True)] == [
        ("ann", "Behind, fell behind 1 time", "–"),
        ("bob", "Keeps up, fell behind 3 times", "12 ms, mean 20 ms"),
        ("eve", "Keeps up", "–"),
    ]
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    listed = client.get("/admin/realtime/connection/").context["cl"].result_list
    assert [one.user_id for one in listed] == [str(user.pk) for user in (ann, bob, eve)]
    found = client.get("/admin/realtime/connection/?q=bob").context["cl"].result_list
    assert [one.user_id for one in found] == [str(bob.pk)]
    assert client.get(f"/admin/realtime/connection/{listed[0].pk}/change/").status_code == 200
    assert client.get("/admin/realtime/node/").status_code == 200


@pytest.mark.requirement("W10")
def test_a_disconnect_needs_its_permission_and_is_logged(
    engine: str, staff: Callable[..., Client], make_user: Callable[..., Any]
) -> None:
    """Asked for by a POST after a page that says whom it meets; an internal event, and who did it."""
    ann = make_user("ann")
    row = connection(ann)
    url = f"/admin/realtime/connection/{row.pk}/disconnect/"
    for client in (staff("view_task", "view_connection", "view_node"), staff("delete_connection")):
        assert client.post(url).status_code == 403
    chief = staff("view_connection", "delete_connection", "view_task")
    start = log.position()
    asked = chief.get(url).content.decode()
    assert "ann" in asked
    assert 'href="/admin/realtime/live/" class="button cancel-link"' in asked
    assert "admin/js/cancel.js" in asked  # "No" goes back to where one came from
    assert log.position() == start
    [message] = chief.post(url, follow=True).context["messages"]
    assert str(message) == "The websocket connection of ann is being closed."
    [event] = replay.read(start, log.position(), 10)
    assert (event.kind, event.owner, event.data) == (
        "connection_closed",
        str(ann.pk),
        {"connection_id": row.pk.hex},
    )
    assert LogEntry.objects.get().change_message == "Disconnected."
    row.delete()
    [message] = chief.post(url, follow=True).context["messages"]
    assert "has ended" in str(message)


@pytest.mark.requirement("F5")
async def test_a_client_that_falls_behind_is_seen_and_recovers(sites: Sites) -> None:
    """A real one, over a socket: its buffer runs over, the dashboard says so, and that it keeps up again."""
    with extra(sites.live("narrow", "uvicorn"), BUFFER_EVENTS=1) as live:
        person, chief = await live.person(), await live.person(superuser=True)
        headers = {"Cookie": f"sessionid={live.site.session_key(chief.name)}"}
        tasks = await live.tasks(person, 3)

        async def told() -> str:
            html = (await live.http("GET", PANELS, headers=headers)).text
            row = html.partition(f'<th scope="row">{person.name}</th>')[2].partition("</tr>")[0]
            return "Keeps up, fell behind" if "Keeps up, fell behind" in row else ""

        async with await live.watching(person) as client:
            await live.run(AT_ONCE, ids=tasks)
            for task_id in tasks:
                await client.wait("task_update", lambda f, t=task_id: f["task_id"] == t and "id" in f)
            await aeventually(told, interval=0.2)
