"""A project of two databases whose requests are transactions (``ATOMIC_REQUESTS``): every door is open."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import Any

import pytest
from django.db import connections, router
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, override_settings
from django.urls import get_resolver, path, resolve

from realtime import database, track
from realtime.limits import places
from realtime.models import Event, Task
from tests.api_caller import Caller, problem
from tests.peers import process_hub
from tests.watching import when_told

__all__ = ["when_told"]


@pytest.fixture(autouse=True)
def each_request_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both databases ask for a transaction around each request."""
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)


def import_rows(request: HttpRequest) -> HttpResponse:
    """Work within a request, as a project's view does."""
    for row in track([1, 2, 3], "Import"):
        assert connections[router.db_for_write(Task)].in_atomic_block, row
    if request.GET["fails"]:
        raise ValueError
    return HttpResponse("done")


urlpatterns = [path("import", import_rows)]


def views() -> Iterator[Any]:
    """Every view of the app."""
    for pattern in get_resolver("realtime.urls").url_patterns:
        yield pattern.callback


def test_no_view_that_is_async_is_to_run_in_a_transaction() -> None:
    """Django would answer each of its requests with 500, whatever the method."""
    asynchronous = [view for view in views() if iscoroutinefunction(view)]
    assert len(asynchronous) >= 4
    for view in [*asynchronous, resolve("/broadcast").func]:
        assert set(connections) <= view._non_atomic_requests


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_the_async_doors_answer(engine: str, make_user: Any) -> None:
    """Health, metrics and streams, through Django's own handler."""
    caller = await database.run(lambda: Caller(make_user()))
    client = AsyncClient()
    async with process_hub():
        for door in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(door)).status_code == 200, door
        stream: Any = await client.get("/events", headers=caller.headers)
        for place in [*places.open]:
            place.leave()
        assert (stream.status_code, stream["Content-Type"]) == (200, "text/event-stream")
        first = await anext(aiter(stream.streaming_content))
        assert b"event: connected" in first
        await stream.streaming_content.aclose()
        assert (await client.post("/events")).status_code == 405


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
def test_a_request_is_a_transaction(engine: str, make_user: Any) -> None:
    """What a request has done is seen as a whole, or, when it was refused, not at all."""
    ann = Caller(make_user(), "realtime.add_broadcast")
    made = ann.post("/api/tasks/", {"name": "import"})
    assert made.status_code == 201
    assert ann.patch(made.json()["task_id"], status="running", done=1).status_code == 200
    assert problem(ann.patch(made.json()["task_id"], status="pending")) == (409, "illegal_transition")
    assert Task.objects.get().version == 2
    for door in ("/api/tasks/", "/api/events/", "/asyncapi.json", "/api/schema/"):
        assert ann.get(door).status_code == 200, door
    assert ann.post("/api/ticket/").status_code == 200
    assert ann.post("/broadcast", {"message": "Back in ten minutes."}).status_code == 200
    kinds = Event.objects.exclude(position=None).order_by("position").values_list("kind", flat=True)
    assert list(kinds)[-3:] == ["task_update", "task_update", "broadcast"]


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
@override_settings(ROOT_URLCONF="tests.test_atomic_requests")
def test_tracked_work_within_a_request(engine: str, make_user: Any) -> None:
    """It appears when all is over, and goes with a request that fails."""
    ann = Caller(make_user())
    assert ann.get("/import?fails=").status_code == 200
    assert Task.objects.get().status == "completed"
    assert ann.get("/import?fails=yes").status_code == 500
    assert Task.objects.count() == 1
