"""How deeply values may be nested: one bound, whichever way they come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from realtime import broadcasts, publish, track, tracked
from realtime.depth import DEPTH, is_deeper
from realtime.exceptions import InvalidValue
from realtime.models import Broadcast, Event, Task
from tests.api_caller import Caller, problem
from tests.orders.models import Order
from tests.reporting import only

Give = Callable[[Any], object]


def nested(levels: int, value: Any = 1) -> Any:
    """A value within so many objects."""
    found = value
    for _ in range(levels):
        found = {"a": found}
    return found


def complete(value: Any) -> None:
    """End a new task with a result."""
    task = Task.objects.create(name="import")
    task.start()
    task.complete(value)


#: The ways in from code, and the field that is named.
WAYS: dict[str, tuple[str, Give]] = {
    "publish": ("data", lambda value: publish("news", "written", value)),
    "complete": ("result", complete),
    "create": ("result", lambda value: Task.objects.create(name="import", result=value)),
    "update": ("result", lambda value: Task.objects.update(result=value)),
    "broadcast": ("data", lambda value: broadcasts.send("Hello", data=value)),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_bound_is_the_same_everywhere(engine: str, way: str) -> None:
    """As many levels as it says, and no more: not one, not as many as Python itself gives up at."""
    field, give = WAYS[way]
    give(nested(DEPTH))
    told = Event.objects.count()
    for levels in (DEPTH + 1, 500, 950, 976, 990, 1100, 5000):
        with pytest.raises(InvalidValue) as caught:
            give(nested(levels))
        assert caught.value.field == field
        assert f"deeper than {DEPTH} levels" in caught.value.message
    assert Event.objects.filter(kind__in=("topic_event", "broadcast")).count() <= told
    assert not Task.objects.filter(status="completed", result=None).exists()


@pytest.mark.parametrize(
    ("value", "deeper"),
    [
        (1, False),
        (nested(DEPTH), False),
        (nested(DEPTH + 1), True),
        (nested(DEPTH - 1, []), False),
        (nested(DEPTH, []), True),
        (nested(DEPTH, {}), True),
        ([nested(DEPTH - 1)] * 300, False),
        ([1, "[" * 300, *[nested(DEPTH)]], True),
        (nested(100_000), True),
    ],
)
def test_what_is_deeper(value: Any, deeper: bool) -> None:
    """Arrays and objects count alike, empty ones too; texts and neighbours do not."""
    assert is_deeper(value) is deeper


def test_a_block_whose_result_is_too_deep_fails(engine: str) -> None:
    """The task ends as failed, and says why; it does not stay running."""
    with pytest.raises(InvalidValue), track("Import") as task:
        task.complete(nested(968))
    assert (only().status, only().error) == ("failed", f"result is nested deeper than {DEPTH} levels.")


def test_a_function_that_returns_it_has_no_result(engine: str) -> None:
    """As with anything else that is not to be stored: the work is done all the same."""
    tracked("Import")(lambda: nested(968))()
    assert (only().status, only().result) == ("completed", None)


def test_a_live_model_leaves_the_field_out(engine: str, make_user: Any, caplog: Any) -> None:
    """The project's own save must not fail for it; the event names what is missing, and the log says so."""
    order = Order.objects.create(customer=make_user(), contact=nested(500))
    told = Event.objects.get(topic=f"order.{order.pk}").data["data"]
    assert (told["truncated"], "contact" in told) == (["contact"], False)
    assert "contact" in caplog.text


def test_over_http_too(engine: str, make_user: Any) -> None:
    """A body that is deeper as a whole is not JSON that anybody means; the tasks stay readable."""
    ann = Caller(make_user())
    task = ann.task("running")
    for levels in (DEPTH, 950, 100_000):
        body = f'{{"status": "completed", "result": {"[" * levels}{"]" * levels}}}'.encode()
        assert problem(ann.send("PATCH", f"/api/tasks/{task.pk}/", body)) == (400, "invalid_json")
    assert ann.patch(task.pk, status="completed", result=nested(DEPTH - 1)).status_code == 200
    assert ann.get("/api/tasks/").json()["results"][0]["result"] == nested(DEPTH - 1)


@pytest.mark.parametrize("levels", [DEPTH + 1, 950, 100_000])
def test_in_a_shell_too(engine: str, levels: int) -> None:
    """``manage.py broadcast --data`` says what is wrong, without a traceback, and sends nothing."""
    with pytest.raises(CommandError, match=f"nested deeper than {DEPTH} levels"):
        call_command("broadcast", "Hello", "--data", "[" * levels + "]" * levels)
    assert not Broadcast.objects.exists()


def test_a_result_that_plain_sql_has_put_there_does_not_hide_its_task(engine: str) -> None:
    """The row can be read, and ended or deleted; only who writes it again is told."""
    Task.objects.create(name="import", status="completed")
    deep = json.dumps(nested(500))
    with connections[engine].cursor() as cursor:
        cursor.execute("UPDATE realtime_task SET result = %s", [deep])
    found = Task.objects.get()
    assert found.changes() == set()
    with pytest.raises(InvalidValue):
        Task.objects.update(name="other")
    found.delete()
    assert not Task.objects.exists()
