"""The API describes itself, truly; and is the same whatever the project has set for its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import get_resolver

from realtime.api.answers import EVENT_FRAMES, TaskBody, task_body
from realtime.api.base import RealtimeView
from realtime.models import Task
from tests.api_caller import Caller, problem

#: What a project might have set for an API of its own.
ELSEWHERE = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.StaticHTMLRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_SCHEMA_CLASS": "rest_framework.schemas.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tests.test_api_schema.no_handler",
    "NON_FIELD_ERRORS_KEY": "general",
    "UNAUTHENTICATED_USER": None,
    "ALLOWED_VERSIONS": ["7"],
    "DEFAULT_VERSION": "7",
}
#: Statuses that any operation may answer with.
EVERYWHERE = {"406", "429", "503"}


def no_handler(error: Exception, context: dict[str, Any]) -> None:
    """Handle no error."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description as it is served to whoever asks."""
    found: dict[str, Any] = json.loads(Client().get("/api/schema/").content)
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every operation."""
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            yield path, method.upper(), about


def test_drf_spectacular_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    """`manage.py spectacular --validate --fail-on-warn`."""
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "openapi.yml"))
    assert "/api/tasks/{task_id}/" in (tmp_path / "openapi.yml").read_text()


def test_every_address_is_described(document: dict[str, Any]) -> None:
    """Each view of the API with each of its methods, and no other."""
    views = {}
    for pattern in get_resolver("realtime.urls").url_patterns:
        view = getattr(pattern.callback, "cls", None)
        if view is not None and issubclass(view, RealtimeView):
            views[pattern.name] = {m.upper() for m in view.http_method_names if hasattr(view, m)} - {"HEAD"}
    described = sorted(method for _, method, _ in operations(document))
    # The description leaves itself out of nothing: every method of every view is there once.
    assert described == sorted(method for methods in views.values() for method in methods)


def test_every_operation_tells_all_its_answers(document: dict[str, Any]) -> None:
    """A name of its own, and the errors that it can give; each error has one shape."""
    names = [about["operationId"] for _, _, about in operations(document)]
    assert len(names) == len(set(names))
    for path, method, about in operations(document):
        answers = about["responses"]
        assert answers.keys() >= EVERYWHERE, path
        assert any(status.startswith("2") for status in answers), path
        if about.get("security") and {} not in about["security"]:
            assert "401" in answers, path
            assert ("403" in answers) >= (method != "GET"), path
        if "requestBody" in about:
            assert answers.keys() >= {"400", "413", "415"}, path
        if "{" in path:
            assert "404" in answers, path
        for status, answer in answers.items():
            if status >= "400":
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (path, status)
        assert "Retry-After" in answers["429"]["headers"]


def test_both_credentials_are_described(document: dict[str, Any]) -> None:
    """A bearer token; or the session cookie, with the CSRF header for what changes something."""
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert (schemes["session"]["name"], schemes["csrf"]["name"]) == ("sessionid", "X-CSRFToken")
    tasks = document["paths"]["/api/tasks/"]
    assert tasks["get"]["security"] == [{"bearer": []}, {"session": []}]
    assert tasks["post"]["security"] == [{"bearer": []}, {"session": [], "csrf": []}]


def test_the_description_is_that_of_the_code(document: dict[str, Any]) -> None:
    """A task's fields are those of its public form; the frames those that the protocol has."""
    assert set(TaskBody().fields) == set(task_body(Task(name="x")))
    frames = document["components"]["schemas"]["EventList"]["properties"]["events"]["items"]["oneOf"]
    kinds = [frame["properties"]["type"]["enum"] for frame in frames]
    assert kinds == [[str(frame.__struct_config__.tag)] for frame in EVENT_FRAMES]
    assert not document["components"]["schemas"]["NewTask"]["additionalProperties"]


def test_the_description_comes_as_yaml_too(engine: str) -> None:
    """By the `Accept` header; anybody may read it."""
    answer = Client().get("/api/schema/", headers={"Accept": "application/yaml"})
    assert answer.status_code == 200
    assert answer.content.startswith(b"openapi: 3")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_project_may_set_what_it_likes_for_its_own_api(engine: str, make_user: Any) -> None:
    """No setting of REST framework's but the rates changes anything here."""
    with override_settings(REST_FRAMEWORK=ELSEWHERE):
        ann = Caller(make_user())
        made = ann.post("/api/tasks/", {"name": "x"})
        assert made.status_code == 201
        assert ann.patch(made.json()["task_id"], status="running").status_code == 200
        assert problem(ann.post("/api/tasks/", [])) == (400, "invalid_body")
        assert problem(Client().get("/api/tasks/")) == (401, "not_authenticated")  # type: ignore[arg-type]
        assert Client().get("/api/schema/").status_code == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_refusal_rolls_back_where_requests_are_transactions(engine: str, make_user: Any) -> None:
    """With ATOMIC_REQUESTS nothing of a request that was refused is left, and the good ones work."""
    ann = Caller(make_user())
    database = django_settings.DATABASES["default"]
    before, database["ATOMIC_REQUESTS"] = database["ATOMIC_REQUESTS"], True
    try:
        made = ann.post("/api/tasks/", {"name": "x"}).json()
        assert ann.patch(made["task_id"], status="completed").status_code == 409
        assert ann.patch(made["task_id"], status="running", done=1).status_code == 200
    finally:
        database["ATOMIC_REQUESTS"] = before
    assert Task.objects.get().version == 2
