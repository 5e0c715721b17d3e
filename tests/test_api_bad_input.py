"""What is wrong with a request is said, by a code and by the field; nothing of it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import Client, override_settings

from realtime.models import Task
from tests.api_caller import UNKNOWN, Caller, problem

DEEP = 100

#: Bodies of a new task: the field that is named, and the code of what is wrong with it.
NEW: list[tuple[Any, str, str]] = [
    ({}, "name", "required"),
    ({"name": None}, "name", "null"),
    ({"name": ""}, "name", "blank"),
    ({"name": 7}, "name", "invalid"),
    ({"name": True}, "name", "invalid"),
    ({"name": ["x"]}, "name", "invalid"),
    ({"name": "x" * 256}, "name", "max_length"),
    ({"name": "x", "total": "7"}, "total", "invalid"),
    ({"name": "x", "total": True}, "total", "invalid"),
    ({"name": "x", "total": 1.5}, "total", "invalid"),
    ({"name": "x", "total": -1}, "total", "min_value"),
    ({"name": "x", "total": 2**63}, "total", "max_value"),
    ({"name": "x", "total": 10**400}, "total", "max_value"),
    ({"name": "x", "owner": 1}, "owner", "invalid"),
    ({"name": "x", "owner": None}, "owner", "null"),
    ({"name": "x", "owner": "1" * 65}, "owner", "max_length"),
    ({"name": "x", "status": "running"}, "status", "unknown_field"),
    ({"name": "x", "version": 9}, "version", "unknown_field"),
    ({"name": "x", "y" * 5000: 1}, "y" * 100, "unknown_field"),
    ({"name": "x", "\ud800": 1}, "?", "unknown_field"),
    ([], "body", "invalid"),
    ("x", "body", "invalid"),
    (7, "body", "invalid"),
    (True, "body", "invalid"),
]
#: The same for a report.
REPORT: list[tuple[Any, str, str]] = [
    ({"status": "done"}, "status", "invalid_choice"),
    ({"status": "x" * 100_000}, "status", "invalid_choice"),
    ({"status": None}, "status", "null"),
    ({"status": ["running"]}, "status", "invalid_choice"),
    ({"progress": "50"}, "progress", "invalid"),
    ({"progress": True}, "progress", "invalid"),
    ({"progress": None}, "progress", "null"),
    ({"progress": 101}, "progress", "invalid"),
    ({"progress": -0.5}, "progress", "invalid"),
    ({"done": False}, "done", "invalid"),
    ({"done": None}, "done", "null"),
    ({"done": {"n": 1}}, "done", "invalid"),
    ({"total": "all"}, "total", "invalid"),
    ({"phase": "x" * 256}, "phase", "max_length"),
    ({"message": None}, "message", "null"),
    ({"message": 1}, "message", "invalid"),
    ({"error": {}}, "error", "invalid"),
    ({"result": 2**64}, "result", "invalid_value"),
    ({"result": {"n": [10**4000]}}, "result", "invalid_value"),
    ({"owner": "1"}, "owner", "unknown_field"),
    ({"name": "y"}, "name", "unknown_field"),
    ({"traceback": "secret"}, "traceback", "unknown_field"),
    ({"progres": 5, "message": "x"}, "progres", "unknown_field"),
    ([], "body", "invalid"),
    ("null", "body", "invalid"),
]
#: Texts that are no JSON.
NO_JSON: list[bytes] = [
    b"{",
    b"name=x",
    b"{'name': 'x'}",
    b'{"name": NaN}',
    b'{"total": Infinity, "name": "x"}',
    b'{"total": -Infinity, "name": "x"}',
    b'{"name": "\xff"}',
    b'\xef\xbb\xbf{"name": "x"}',
    '{"name": "x"}'.encode("utf-16"),
    b'{"total": ' + b"9" * 5000 + b', "name": "x"}',
    b"[" * 100_000,
    b'{"name": "x", "total": ' + b"[" * (DEEP + 1) + b"]" * (DEEP + 1) + b"}",
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
class TestBodies:
    """The database plays no part: nothing of this reaches it."""

    def test_a_bad_new_task(self, engine: str, make_user: Any) -> None:
        """400 `invalid_body`, the field, and nothing is made."""
        ann = Caller(make_user())
        for body, field, code in NEW:
            answer = ann.post("/api/tasks/", body)
            assert problem(answer) == (400, "invalid_body"), (body, answer.content)
            assert code in {p["code"] for p in answer.json()["fields"][field]}, (body, answer.json())
            assert len(answer.content) < 1000
        assert not Task.objects.exists()

    def test_a_bad_report(self, engine: str, make_user: Any) -> None:
        """400 `invalid_body`, the field, and nothing is written."""
        ann = Caller(make_user())
        task = ann.task("running")
        for body, field, code in REPORT:
            answer = ann.send("PATCH", f"/api/tasks/{task.pk}/", json.dumps(body).encode())
            assert problem(answer) == (400, "invalid_body"), (body, answer.content)
            assert code in {p["code"] for p in answer.json()["fields"][field]}, (body, answer.json())
            assert len(answer.content) < 1000
        assert Task.objects.get().version == 1

    def test_all_that_is_wrong_is_said_at_once(self, engine: str, make_user: Any) -> None:
        """Known and unknown fields together; of very many unknown ones, some."""
        ann = Caller(make_user())
        answer = ann.post("/api/tasks/", {"total": "x", "wat": 1})
        assert set(answer.json()["fields"]) == {"name", "total", "wat"}
        answer = ann.post("/api/tasks/", {"name": "x", **{f"field{n}": n for n in range(1000)}})
        assert len(answer.json()["fields"]) == 20

    def test_a_number_too_large_to_be_one(self, engine: str, make_user: Any) -> None:
        """`1e400` is JSON, and infinite to every program that reads it."""
        ann = Caller(make_user())
        task = ann.task("running")
        for name in ("progress", "done", "total", "result"):
            answer = ann.send("PATCH", f"/api/tasks/{task.pk}/", b'{"%s": 1e400}' % name.encode())
            assert problem(answer) == (400, "invalid_body")
            assert list(answer.json()["fields"]) == [name]

    def test_what_is_no_json(self, engine: str, make_user: Any) -> None:
        """400 `invalid_json`, whatever charset it says it is in, and however deep it goes."""
        ann = Caller(make_user())
        for body in NO_JSON:
            for type in ("application/json", "application/json; charset=rot13"):
                answer = ann.send("POST", "/api/tasks/", body, type)
                assert problem(answer) == (400, "invalid_json"), body[:50]
                assert len(answer.content) < 1000
        deep: Any = "bottom"
        for _ in range(DEEP - 2):
            deep = [deep]
        task = ann.task("running")
        assert ann.patch(task.pk, result=deep).json()["result"] == deep

    def test_only_json_is_taken(self, engine: str, make_user: Any) -> None:
        """415 for a form, for a body of no type, for one that lies about itself."""
        ann = Caller(make_user())
        for type in (
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "",
        ):
            answer = ann.send("POST", "/api/tasks/", b"name=x", type)
            assert problem(answer) == (415, "unsupported_media_type"), type
        for type in ("application/json; charset=latin-1", "APPLICATION/JSON", "application/json;x=y"):
            assert ann.send("POST", "/api/tasks/", b'{"name": "x"}', type).status_code == 201

    def test_only_json_is_given(self, engine: str, make_user: Any) -> None:
        """406 for who wants something else; the answer is JSON all the same."""
        ann = Caller(make_user())
        for accept in ("text/html", "image/*, text/csv;q=0.9"):
            assert problem(ann.send("GET", "/api/tasks/", Accept=accept)) == (406, "not_acceptable")
        for accept in ("*/*", "text/html, application/*;q=0.1", "application/json; indent=4"):
            assert ann.send("GET", "/api/tasks/", Accept=accept).status_code == 200
        for accept in ("", ";;;", ",", "x" * 10_000, "application/json; indent=\xb2", "\x00/\xff"):
            assert ann.send("GET", "/api/tasks/", Accept=accept).status_code in (200, 406)

    def test_a_body_that_is_too_big(self, engine: str, make_user: Any) -> None:
        """413 for one byte more than Django would keep in memory."""
        ann = Caller(make_user())
        body = json.dumps({"name": "x", "message": "y" * 5000}).encode()
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=len(body)):
            assert ann.send("POST", "/api/tasks/", body).status_code == 201
            assert problem(ann.send("POST", "/api/tasks/", body + b" ")) == (413, "body_too_big")
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=None):
            assert ann.send("POST", "/api/tasks/", body + b" ").status_code == 201

    def test_another_method(self, engine: str, make_user: Any) -> None:
        """405, and which there are."""
        ann = Caller(make_user())
        for path, allowed in (
            ("tasks/", {"GET", "POST", "HEAD"}),
            (f"tasks/{UNKNOWN}/", {"GET", "PATCH", "DELETE", "HEAD"}),
            (f"tasks/{UNKNOWN}/cancel/", {"POST"}),
        ):
            for method in ("PUT", "OPTIONS", "TRACE", "NONSENSE"):
                answer = ann.send(method, f"/api/{path}")
                assert problem(answer) == (405, "method_not_allowed")
                assert set(answer["Allow"].split(", ")) == allowed

    def test_who_may_not_change_a_task_hears_that_first(self, engine: str, make_user: Any) -> None:
        """Not what is wrong with his report: that would tell what a task could do."""
        ann, looker = Caller(make_user()), Caller(make_user(), "realtime.view_task")
        answer = looker.patch(ann.task().pk, nonsense=1)
        assert problem(answer) == (403, "forbidden")


@pytest.fixture
def slow_down(engine: str) -> Iterator[None]:
    """Two calls a minute, from now on; what was counted before and in between is forgotten."""
    cache.clear()
    rates = {"DEFAULT_THROTTLE_RATES": {"realtime-api": "2/min"}}
    with override_settings(REST_FRAMEWORK=django_settings.REST_FRAMEWORK | rates):
        yield
    cache.clear()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("slow_down")
def test_who_calls_too_often_is_told_to_wait(engine: str, make_user: Any) -> None:
    """429 and for how long, in the one shape; counted per user, and per address for who is nobody."""
    ann, bob, nobody = Caller(make_user()), Caller(make_user()), Client()
    assert [ann.get("/api/tasks/").status_code for _ in range(2)] == [200, 200]
    for answer in (ann.get("/api/tasks/"), ann.get("/api/events/"), ann.post("/api/tasks/", {"name": "x"})):
        assert problem(answer) == (429, "throttled")
        assert 1 <= int(answer["Retry-After"]) <= 60
    assert bob.get("/api/tasks/").status_code == 200
    assert [nobody.get("/api/schema/").status_code for _ in range(3)] == [200, 200, 429]
    assert not Task.objects.exists()
