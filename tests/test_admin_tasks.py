"""Tasks in the admin: what staff may see, change, cancel, retry and delete, and that it is all logged."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from realtime import log, replay
from realtime.events import LogEvent
from realtime.models import Task
from tests.policy import INLINE

LIST = "/admin/realtime/task/"
SCRIPT = "<script>alert(1)</script>"

Staff = Callable[..., Client]


@pytest.fixture
def staff(make_user: Callable[..., Any]) -> Staff:
    """Log a member of the staff in, who has these permissions on tasks: ``staff("view", "change")``."""

    def login(*actions: str, model: str = "task") -> Client:
        user = make_user(is_staff=True)
        codenames = [f"{action}_{model}" for action in actions]
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return login


def page(client: Client, url: str) -> str:
    """The text of a page that is there."""
    response = client.get(url)
    assert response.status_code == 200, f"{response.status_code} {response.get('Location')}"
    return response.content.decode()


def act(client: Client, action: str, *tasks: Task, **fields: str) -> list[str]:
    """Use an action on tasks, confirmed; return the messages of the page that follows."""
    chosen = [str(task.pk) for task in tasks]
    data = {"action": action, "_selected_action": chosen, "post": "yes", **fields}
    response = client.post(LIST, data, follow=True)
    return [str(message) for message in response.context["messages"]]


def change_url(task: Task) -> str:
    """The address of a task's page."""
    return f"{LIST}{task.pk}/change/"


def events_since(position: int) -> list[LogEvent]:
    """The events after a position."""
    return [e for e in replay.read(position, log.position(), 1000) if e.kind.startswith("task")]


@pytest.mark.requirement("T3")
@pytest.mark.parametrize(("action", "permission"), [("cancel_selected", "change"), ("retry_selected", "add")])
def test_an_action_needs_its_permission(engine: str, staff: Staff, action: str, permission: str) -> None:
    """It is neither offered nor done without."""
    task = Task.objects.create(name="import", status="pending" if permission == "change" else "failed")
    others = {"view", "add", "change", "delete"} - {permission}
    client = staff(*others)
    assert action not in page(client, LIST)
    assert act(client, action, task) == ["No action selected."]
    assert (Task.objects.count(), Task.objects.get().version) == (1, 1)
    assert action in page(staff("view", permission), LIST)


@pytest.mark.requirement("T3", "T10")
def test_cancel_says_what_was_done_and_what_was_skipped_and_why(engine: str, staff: Staff) -> None:
    """Each task by its own method, so each has its event; a running one is only asked."""
    client = staff("view", "change")
    pending, running, failed = (
        Task.objects.create(name=f"a {status} one", status=status)
        for status in ("pending", "running", "failed")
    )
    start = log.position()
    assert sorted(act(client, "cancel_selected", pending, running, failed)) == [
        "Asked to stop: 1 task.",
        "Cancelled: 1 task.",
        "Skipped 1 task (“a failed one”): A failed task cannot be cancelled.",
    ]
    states = {e.task_id: (e.data["status"], bool(e.data["cancel_requested_at"])) for e in events_since(start)}
    assert states == {str(pending.pk): ("cancelled", False), str(running.pk): ("running", True)}
    assert LogEntry.objects.filter(change_message="Cancelled.").count() == 2
    again = act(client, "cancel_selected", pending, running)
    assert [text.partition(":")[2] for text in again] == [" It has been cancelled before."]
    assert len(events_since(start)) == 2


@pytest.mark.requirement("T1", "T3")
def test_retry_makes_new_tasks_of_finished_ones(engine: str, staff: Staff) -> None:
    """The others are skipped; of many names a message tells a few."""
    client = staff("view", "add")
    failed = Task.objects.create(name="import", status="failed", total=7)
    unfinished = [Task.objects.create(name=f"job {number}") for number in range(7)]
    start = log.position()
    done, skipped = act(client, "retry_selected", failed, *unfinished)
    assert done == "Retried: 1 task."
    assert re.fullmatch(
        r"Skipped 7 tasks \((“job \d”, ){5}2 more\): A pending task cannot be retried\.", skipped
    )
    again = Task.objects.get(retry_of=failed)
    assert (again.name, again.status, again.total) == ("import", "pending", 7)
    assert [event.task_id for event in events_since(start)] == [str(again.pk)]
    assert str(failed.pk) in page(client, change_url(again))


@pytest.mark.requirement("T3", "T10")
def test_an_action_asks_first_and_says_what_it_would_skip(engine: str, staff: Staff) -> None:
    """Nothing is done before the answer; what has moved meanwhile is judged again."""
    client = staff("view", "change")
    tasks = [Task.objects.create(name=f"a {s} one", status=s) for s in ("pending", "running", "failed")]
    chosen = {"action": "fail_selected", "_selected_action": [str(task.pk) for task in tasks], "index": "0"}
    start = log.position()
    asked = client.post(LIST, chosen)
    [done], [skipped] = asked.context["done"], asked.context["skipped"]
    assert (done["words"], [task.name for task in done["tasks"]]) == (
        "Marked as failed",
        ["a running one", "a pending one"],
    )
    assert (skipped["words"], skipped["count"]) == ("A failed task cannot become failed.", 1)
    assert "Mark 2 tasks as failed" in asked.content.decode()
    assert INLINE.findall(asked.content.decode()) == []
    assert log.position() == start
    tasks[1].cancel()
    tasks[0].cancel()
    assert act(client, "fail_selected", *tasks, back=str(tasks[0].pk)) == [
        "Marked as failed: 1 task.",
        "Skipped 1 task (“a failed one”): A failed task cannot become failed.",
        "Skipped 1 task (“a pending one”): A cancelled task cannot become failed.",
    ]
    assert Task.objects.get(name="a running one").error == "Marked as failed by staff."
    assert act(staff("view", "add"), "fail_selected", tasks[0]) == ["No action selected."]


def test_a_selection_that_is_none_does_nothing(engine: str, staff: Staff) -> None:
    """Ids that are no ids are refused, those of tasks that are gone are left out."""
    client, gone = staff("view", "change"), Task.objects.create(name="gone")
    Task.objects.all().delete()
    data = {"action": "cancel_selected", "_selected_action": ["1 OR 1"]}
    [message] = client.post(LIST, data, follow=True).context["messages"]
    assert str(message) == "Nothing was done: the selection is not valid."
    assert act(client, "cancel_selected", gone) == ["Nothing was done: none of the tasks is there any more."]
    assert client.get(change_url(gone)).status_code == 302


@pytest.mark.requirement("F9")
def test_what_is_deleted_in_the_admin_is_in_the_log(engine: str, staff: Staff) -> None:
    """Several from the list and one from its page: each is one event."""
    one, two, three = (Task.objects.create(name="import") for _ in range(3))
    client, start = staff("view", "delete"), log.position()
    act(client, "delete_selected", one, two, post="yes")
    client.post(f"{LIST}{three.pk}/delete/", {"post": "yes"})
    assert not Task.objects.exists()
    assert {event.kind for event in events_since(start)} == {"task_deleted"}
    assert {event.task_id for event in events_since(start)} == {str(t.pk) for t in (one, two, three)}
    assert staff("view", "change").post(f"{LIST}{three.pk}/delete/").status_code in (302, 403)


@pytest.mark.requirement("T1", "T3")
def test_only_name_and_owner_can_be_edited(engine: str, staff: Staff, make_user: Callable[..., Any]) -> None:
    """Also of a finished task, with an event; any other field that is sent along is ignored."""
    task, heir = Task.objects.create(name="import", status="failed", total=3), make_user()
    client, start = staff("view", "change"), log.position()
    form = client.get(change_url(task)).context["adminform"].form
    assert set(form.fields) == {"name", "owner"}
    sent = {"name": "import 2", "owner": heir.pk, "status": "pending", "progress": 99, "version": 9}
    assert client.post(change_url(task), sent).status_code == 302
    task.refresh_from_db()
    assert (task.name, task.owner, task.status, task.progress) == ("import 2", heir, "failed", 0)
    [event] = events_since(start)
    assert (event.owner, event.data["name"], event.version) == (str(heir.pk), "import 2", 2)
    client.post(change_url(task), {"name": "import 2", "owner": heir.pk})
    assert len(events_since(start)) == 1  # nothing changed
    for bad in ({"name": ""}, {"name": "x" * 256}, {"name": "a", "owner": "nobody"}, {"name": "\0"}):
        assert client.post(change_url(task), bad).context["errors"]
    assert staff("view").post(change_url(task), {"name": "mine"}).status_code == 403
    assert Task.objects.get().name == "import 2"


@pytest.mark.requirement("T3")
def test_a_task_cannot_be_added_by_a_form(engine: str, staff: Staff) -> None:
    """Whatever the permission: its work is started elsewhere, and its status is never chosen."""
    client = staff("view", "add", "change")
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}add/", {"name": "import", "status": "completed"}).status_code == 403
    assert not Task.objects.exists()


@pytest.mark.requirement("T3")
def test_without_a_permission_there_is_nothing_to_see(engine: str, staff: Staff) -> None:
    """Staff need Django's own permission to view; who is no staff is sent to the login."""
    task = Task.objects.create(name="import")
    for url in (LIST, change_url(task)):
        assert staff().get(url).status_code == 403
        assert Client().get(url).status_code == 302


@pytest.mark.requirement("T4")
def test_a_traceback_is_for_those_who_may_change_the_task(engine: str, staff: Staff) -> None:
    """It may quote secrets: others neither see it nor can they guess it by filters in the address."""
    task = Task.objects.create(name="import", status="failed", error="It failed.", traceback="line-of-code")
    viewer = staff("view")
    assert "It failed." in page(viewer, change_url(task))
    assert "line-of-code" not in page(viewer, change_url(task))
    assert "line-of-code" in page(staff("view", "change"), change_url(task))
    for lookup in ("traceback__startswith=line", "traceback__contains=code", "owner__password__gt=a"):
        assert viewer.get(f"{LIST}?{lookup}").status_code == 400


def test_the_page_of_a_task_shows_its_newest_events(engine: str, staff: Staff) -> None:
    """At most a hundred, the newest first, of this task only; it says when there are older ones."""
    other, task = Task.objects.create(name="other"), Task.objects.create(name="import")
    task.start()
    client = staff("view")
    positions = [e.position for e in events_since(0) if e.task_id == str(task.pk)]
    response = client.get(change_url(task))
    shown = response.context["task_events"]
    assert [row["position"] for row in shown] == positions[::-1]
    assert [row["data__status"] for row in shown] == ["running", "pending"]
    assert "There are older events" not in response.content.decode()
    for number in range(100):
        task.message = f"step {number}"
        task.save()
    response = client.get(change_url(task))
    shown = response.context["task_events"]
    assert [row["data__message"] for row in shown] == [f"step {n}" for n in reversed(range(100))]
    assert "There are older events than these 100." in response.content.decode()
    assert other.name not in response.content.decode()


@pytest.mark.requirement("K20")
def test_markup_in_a_task_stays_text(engine: str, staff: Staff, make_user: Callable[..., Any]) -> None:
    """Whatever anybody wrote into a task: on the list, its page, in messages and at its deletion."""
    client = staff("view", "add", "change", "delete")
    owner = make_user(f"o{SCRIPT}")
    task = Task.objects.create(name=f"n{SCRIPT}", owner=owner, message=f"m{SCRIPT}", phase=f"p{SCRIPT}")
    task.start()
    assert act(client, "retry_selected", task)
    task.fail(f"e{SCRIPT}", traceback=f"t{SCRIPT}")
    done = Task.objects.create(name=f"n{SCRIPT}", status="completed", result={f"k{SCRIPT}": f"v{SCRIPT}"})
    seen = ""
    for path in ("", f"{task.pk}/change/", f"{done.pk}/change/", f"{task.pk}/delete/", f"{task.pk}/history/"):
        seen += page(client, f"{LIST}{path}")
    for action in ("cancel_selected", "retry_selected", "delete_selected"):
        data = {"action": action, "_selected_action": [str(task.pk)]}
        seen += client.post(LIST, data, follow=True).content.decode()
    seen += page(client, f"{LIST}?q={SCRIPT}")
    assert SCRIPT not in seen
    for letter in "nompetkv":
        assert f"{letter}&lt;script&gt;" in seen


@pytest.mark.requirement("K19")
def test_the_pages_keep_to_the_policy(engine: str, staff: Staff) -> None:
    """Nothing inline, under the site's own header."""
    task = Task.objects.create(name="import")
    client = staff("view", "add", "change", "delete")
    for path in ("", "?q=imp", f"{task.pk}/change/", f"{task.pk}/delete/", f"{task.pk}/history/"):
        response = client.get(f"{LIST}{path}")
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert INLINE.findall(response.content.decode()) == []
