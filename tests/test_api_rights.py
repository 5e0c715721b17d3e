"""Whose a task is, asked through each door of the API; and who is let in at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from realtime.models import Task
from realtime.models.public import whole_data
from tests.api_caller import UNKNOWN, Caller, problem

DOORS: dict[str, Callable[[Caller, Any], HttpResponse]] = {
    "read": lambda who, task_id: who.get(f"/api/tasks/{task_id}/"),
    "patch": lambda who, task_id: who.patch(task_id, message="mine now"),
    "bad patch": lambda who, task_id: who.patch(task_id, nonsense=1),
    "cancel": lambda who, task_id: who.post(f"/api/tasks/{task_id}/cancel/"),
    "retry": lambda who, task_id: who.post(f"/api/tasks/{task_id}/retry/"),
    "delete": lambda who, task_id: who.delete(task_id),
    "events": lambda who, task_id: who.get(f"/api/tasks/{task_id}/events/"),
    "events after": lambda who, task_id: who.get(f"/api/tasks/{task_id}/events/?after=1"),
    "poll": lambda who, task_id: who.get(f"/api/events/?task_id={task_id}"),
}
#: All that changes something, each with the permission that it takes for another's task.
POWERS = {
    "patch": "realtime.change_task",
    "cancel": "realtime.change_task",
    "retry": "realtime.add_task",
    "delete": "realtime.delete_task",
}
MALFORMED = ("4711", "x" * 300, "%00", "%C3%28", "65c5d3c5-47ba-4c63-aec6-9e4943b37d8", "null", "é")


@pytest.mark.requirement("K1", "T3")
def test_anothers_task_answers_like_one_that_does_not_exist(engine: str, make_user: Any) -> None:
    """The same bytes and headers, whatever the rights to change tasks; and nothing happens to it."""
    ann, bob = Caller(make_user()), Caller(make_user(), *POWERS.values())
    task = ann.task("failed")
    for name, door in DOORS.items():
        foreign, unknown = door(bob, task.pk), door(bob, UNKNOWN)
        assert problem(foreign) == (404, "not_found"), name
        assert (foreign.content, dict(foreign.headers)) == (unknown.content, dict(unknown.headers))
        assert str(task.pk).encode() not in foreign.content
    assert [whole_data(t) for t in Task.objects.all()] == [whole_data(task)]


@pytest.mark.requirement("K1")
def test_an_id_that_is_none_answers_the_same(engine: str, make_user: Any) -> None:
    """Also through the doors that change something."""
    bob = Caller(make_user())
    for door in [knock for name, knock in DOORS.items() if name != "poll"]:
        unknown = door(bob, UNKNOWN)
        for malformed in MALFORMED:
            answer = door(bob, malformed)
            assert (answer.status_code, answer.content) == (404, unknown.content), malformed


@pytest.mark.requirement("T3")
@pytest.mark.parametrize("door", POWERS)
def test_who_sees_a_task_may_not_therefore_change_it(engine: str, make_user: Any, door: str) -> None:
    """403 for who only sees it; with the permission it is done; the owner needs none."""
    ann = Caller(make_user())
    looker = Caller(make_user(), "realtime.view_task")
    power = Caller(make_user(), "realtime.view_task", POWERS[door])
    for who in (power, ann):
        task = ann.task("pending" if door == "patch" else "failed" if door == "retry" else "cancelled")
        assert problem(DOORS[door](looker, task.pk)) == (403, "forbidden")
        assert whole_data(Task.objects.get(pk=task.pk)) == whole_data(task)
        assert DOORS[door](who, task.pk).status_code in (200, 201, 204)


def test_an_id_is_read_as_sockets_read_it(engine: str, make_user: Any) -> None:
    """In any of its written forms."""
    ann = Caller(make_user())
    task = ann.task()
    for text in (str(task.pk).upper(), task.pk.hex, f"{{{task.pk}}}"):
        assert ann.get(f"/api/tasks/{text}/").json()["task_id"] == str(task.pk)


def test_nobody_is_let_in_without_a_credential(engine: str) -> None:
    """401 for every method, before anything else is looked at."""
    for path in ("tasks/", f"tasks/{UNKNOWN}/", f"tasks/{UNKNOWN}/events/", "events/"):
        for method in ("GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"):
            answer: Any = Client().generic(method, f"/api/{path}", b"{nonsense", "application/json")
            assert problem(answer) == (401, "not_authenticated")
            assert answer["WWW-Authenticate"] == "Bearer"


def test_the_session_cookie_changes_things_only_with_its_csrf_token(engine: str, make_user: Any) -> None:
    """A page elsewhere could have made the browser send the cookie; it cannot read the token."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(make_user())
    assert browser.get("/api/tasks/").status_code == 200
    refused = browser.post("/api/tasks/", {"name": "x"}, content_type="application/json")
    assert problem(refused) == (403, "csrf_failed")
    browser.cookies["csrftoken"] = "a" * 32
    made = browser.post(
        "/api/tasks/", {"name": "x"}, content_type="application/json", headers={"X-CSRFToken": "a" * 32}
    )
    assert made.status_code == 201
