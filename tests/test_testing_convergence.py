"""``assert_converges``: what was told leads to what is there, or the message names the fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, models

from realtime import Topic, publish, register
from realtime.models import Task
from realtime.registry import unregister
from realtime.testing import Told, assert_converges
from tests.orders.models import Order


@pytest.fixture
def ada(db: None) -> Any:
    """Somebody with a task that runs."""
    user = get_user_model().objects.create_user("ada")
    Task.objects.create(name="Import", owner=user).start()
    return user


def raw(statement: str, *values: Any) -> None:
    """Write past everything."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def work(ada: Any) -> Task:
    """What a project does in a day: tasks made, moved, renamed at once, given away, deleted."""
    ben = get_user_model().objects.create_user("ben")
    task = Task.objects.get(name="Import")
    task.complete(result={"rows": 3})
    Task.objects.bulk_create([Task(name=str(number), owner=ada) for number in range(3)])
    Task.objects.filter(name__in=["0", "1"]).update(name="both")
    given = Task.objects.get(name="2")
    given.owner = ben
    given.save()
    Task.objects.filter(name="both").first().delete()
    order = Order.objects.create(customer=ada, total=10)
    order.status = "paid"
    order.save()
    Order.objects.create(customer=ada).delete()
    return task


def test_code_that_uses_the_models_converges(ada: Any) -> None:
    """Saves, bulk writes, gifts and deletions are told, of tasks and live models; the result is returned."""
    assert assert_converges(lambda: work(ada)).status == "completed"


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "raw SQL": (
        lambda: raw("UPDATE realtime_task SET progress = 80, message = 'nearly'"),
        r"task \S+ \(Import\): progress is 80, told 0; message is 'nearly', told ''",
    ),
    "Django's own update": (
        lambda: models.QuerySet(Task).update(status="failed"),
        r"\(Import\): status is 'failed', told 'running'",
    ),
    "Django's own bulk_create": (
        lambda: models.QuerySet(Task).bulk_create([Task(name="unseen")]),
        r"\(unseen\) is there, and was not told",
    ),
    "a raw delete": (
        lambda: Task.objects.all()._raw_delete("default"),
        r"\(Import\) is gone, and that was not told",
    ),
    "raw SQL on a live model": (
        lambda: (Order.objects.get(), raw("UPDATE orders_order SET status = 'lost'")),
        r"topic order\.\d+: status is 'lost', told 'new'",
    ),
    "a change past the model after one that was told": (
        lambda: (Task.objects.get().report(5), raw("UPDATE realtime_task SET owner_id = NULL")),
        r"owner is None, told '\d+'",
    ),
}


@pytest.mark.parametrize("way", WRONG)
def test_what_is_not_told_is_named(ada: Any, way: str) -> None:
    """Changes past the models' own ways fail the test, with the row and each field that differs."""
    Order.objects.create(customer=ada)
    action, message = WRONG[way]
    with pytest.raises(AssertionError, match=message):
        assert_converges(action)


class Carts(Topic):
    """A topic whose snapshot is how many things lie in each cart."""

    name = "cart"
    things: dict[str, int] = {}

    def snapshot(self, key: str) -> dict[str, Any]:
        """Return the number."""
        return {"things": self.things[key]}


def add(count: int, told: int) -> None:
    """Put so many things in, and tell of so many."""
    Carts.things["7"] += count
    publish("cart.7", "added", {"count": told})


def count(state: dict[str, Any], told: Told) -> dict[str, Any]:
    """What the client's program makes of an event."""
    return {"things": state["things"] + told.data["count"]}


def test_a_topic_of_the_project_s_own_converges_by_its_own_rule(db: None) -> None:
    """Its snapshot, and what the project's own rule makes of each event, are its snapshot afterwards."""
    register(Carts)
    try:
        Carts.things = {"7": 1}
        assert_converges(lambda: add(2, 2), topics=["cart.7"], apply=count)
        with pytest.raises(AssertionError, match=r"topic cart\.7: things is 6, told 5"):
            assert_converges(lambda: add(3, 2), topics=["cart.7"], apply=count)
        with pytest.raises(ValueError, match=r"no topic 'basket\.7'"):
            assert_converges(lambda: None, topics=["basket.7"])
    finally:
        unregister(Carts)


def test_with_real_commits_it_is_the_same(engine: str) -> None:
    """On each engine: events that have their positions, and a write that nobody was told of."""
    assert_converges(lambda: Task.objects.create(name="Import"))
    with pytest.raises(AssertionError, match="name is 'other', told 'Import'"):
        assert_converges(lambda: models.QuerySet(Task).using(engine).update(name="other"))
