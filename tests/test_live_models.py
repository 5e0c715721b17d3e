"""Live models: each committed change of a chosen field is one event, whichever way it was written."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import serializers
from django.db import models, transaction
from django.db.models import F
from django.test import override_settings

from realtime import log, replay
from realtime.changes import CHANGED, events_of
from realtime.live import CHUNK
from realtime.models import Event
from tests.kit.threads import DEADLINE, in_thread, open_transaction
from tests.orders.models import Order, Parcel
from tests.orders.realtime_topics import Orders

Change = Callable[[list[Order]], object]


@pytest.fixture
def orders(engine: str, make_user: Any) -> list[Order]:
    """Three orders of one customer, whose creation is not looked at."""
    customer = make_user()
    return [Order.objects.create(customer=customer, status=status) for status in ("new", "new", "paid")]


def told(after: int = 0) -> list[tuple[str, str, dict[str, Any]]]:
    """Topic, type and data of every event of an order."""
    found = replay.read(after, log.position(), 10_000)
    return [(e.topic, e.data["event"], e.data["data"]) for e in found if e.topic.startswith("order.")]


def snapshots() -> dict[str, Any]:
    """The fresh snapshot of every order."""
    topic = Orders()
    return {f"order.{pk}": topic.snapshot(str(pk)) for pk in Order.objects.values_list("pk", flat=True)}


def save(order: Order, **fields: Any) -> None:
    """Set fields and save."""
    for name, value in fields.items():
        setattr(order, name, value)
    order.save()


#: Ways to change rows, with the types of the events that they owe, by row.
CHANGES: dict[str, tuple[Change, list[str]]] = {
    "save": (lambda rows: save(rows[0], status="paid"), ["changed"]),
    "save-fields": (
        lambda rows: save(rows[0], status="paid", note="x") or rows[0].save(update_fields=["note"]),
        ["changed"],
    ),
    "save-other-fields": (lambda rows: save(rows[0], note="x"), []),
    "save-unchanged": (lambda rows: rows[0].save(), []),
    "save-expression": (lambda rows: save(rows[0], total=F("total") + 1), ["changed"]),
    "save-stale": (
        lambda rows: (save(Order.objects.get(pk=rows[0].pk), status="paid"), rows[0].save()),
        ["changed", "changed"],
    ),
    "create": (lambda rows: Order.objects.create(customer_id=rows[0].customer_id), ["created"]),
    "create-through-the-user": (lambda rows: rows[0].customer.orders.create(total=3), ["created"]),
    "update-or-create": (
        lambda rows: Order.objects.update_or_create(pk=rows[0].pk, defaults={"total": 5}),
        ["changed"],
    ),
    "update": (lambda rows: Order.objects.filter(status="new").update(status="paid"), ["changed"] * 2),
    "update-expression": (lambda rows: Order.objects.update(total=F("total") + 1), ["changed"] * 3),
    "update-some-alike": (lambda rows: Order.objects.update(status="paid"), ["changed"] * 2),
    "update-other-fields": (lambda rows: Order.objects.update(note="x"), []),
    "update-none": (lambda rows: Order.objects.filter(status="lost").update(status="paid"), []),
    "bulk-create": (
        lambda rows: Order.objects.bulk_create([Order(customer_id=rows[0].customer_id) for _ in range(2)]),
        ["created"] * 2,
    ),
    "bulk-update": (
        lambda rows: Order.objects.bulk_update([set_total(row) for row in rows], ["total", "note"]),
        ["changed"] * 3,
    ),
    "delete": (lambda rows: rows[0].delete(), ["deleted"]),
    "delete-many": (lambda rows: Order.objects.filter(status="new").delete(), ["deleted"] * 2),
    "delete-with-the-user": (lambda rows: rows[0].customer.delete(), ["deleted"] * 3),
    "add-to-a-group": (lambda rows: packers().orders.add(*rows), ["changed"] * 3),
    "delete-of-a-group": (lambda rows: pack(rows).delete(), ["changed"] * 3),
    "save-through-a-proxy": (lambda rows: save(Parcel.objects.get(pk=rows[0].pk), total=7), ["changed"]),
    "delete-through-a-proxy": (lambda rows: Parcel.objects.all().delete(), ["deleted"] * 3),
    "fixture": (lambda rows: load_fixture(rows[0]), ["changed"]),
}


def packers() -> Group:
    """Return a group of packers."""
    return Group.objects.get_or_create(name="packers")[0]


def pack(orders: list[Order]) -> Group:
    """Return the group that the orders have been with all the time, as far as anybody was told."""
    group = packers()
    models.QuerySet(Order, using=Order.objects.db).update(packers=group)
    return group


def set_total(order: Order) -> Order:
    """Set another total, without saving."""
    order.total = Decimal(9)
    return order


def load_fixture(order: Order) -> None:
    """Write another state of the row as ``loaddata`` does."""
    order.status = "fixed"
    for one in serializers.deserialize("json", serializers.serialize("json", [order])):
        one.save()


@pytest.mark.parametrize(("change", "types"), CHANGES.values(), ids=CHANGES)
def test_snapshot_and_events_are_a_fresh_snapshot(
    orders: list[Order], change: Change, types: list[str]
) -> None:
    """For every kind of change; and each row that really changed is one event."""
    held, after = snapshots(), log.position()
    change(orders)
    assert [type for _, type, _ in told(after)] == types
    for topic, type, data in told(after):
        held[topic] = None if type == "deleted" else data
    assert {topic: state for topic, state in held.items() if state is not None} == snapshots()
    assert not log.has_pending()


@pytest.mark.parametrize(("change", "types"), CHANGES.values(), ids=CHANGES)
def test_what_is_rolled_back_tells_nothing(orders: list[Order], change: Change, types: list[str]) -> None:
    """No event, and nothing that waits for a position."""
    before = Event.objects.count()
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=Order.objects.db):
        change(orders)
        raise ZeroDivisionError
    assert Event.objects.count() == before


def test_the_chosen_fields_are_told_as_json(orders: list[Order]) -> None:
    """A decimal as text, as Django's own encoder does; no other field; no secret."""
    after = log.position()
    save(orders[0], total=Decimal("12.50"), contact={"name": "Ann", "password": "hunter2"}, note="inside")
    contact = {"name": "Ann", "password": "***"}
    data = {"status": "new", "total": "12.50", "contact": contact, "packers": None}
    assert told(after) == [(f"order.{orders[0].pk}", "changed", data)]


def test_a_field_that_is_too_large_is_left_out(orders: list[Order]) -> None:
    """And named: the save does not fail, and the event fits."""
    after = log.position()
    with override_settings(REALTIME={"MAX_EVENT_SIZE": 1024}):
        save(orders[0], contact={"text": "x" * 2000})
        fits = {"status": "new", "total": "0.00", "packers": None}
        assert told(after)[0][2] == fits | {"truncated": ["contact"]}
        assert snapshots()[f"order.{orders[0].pk}"] == told(after)[0][2]


def test_many_rows_are_told_each_once(orders: list[Order]) -> None:
    """More than are locked at a time."""
    more = [Order(customer=orders[0].customer) for _ in range(CHUNK)]
    Order.objects.bulk_create(more)
    after = log.position()
    assert Order.objects.update(status="closed") == CHUNK + 3
    topics = [topic for topic, _, _ in told(after)]
    assert len(topics) == len(set(topics)) == CHUNK + 3


def test_what_is_gone_is_not_deleted_again(orders: list[Order]) -> None:
    """One row, one ``deleted``, whoever else holds it; and the row's topic, however the key is written."""
    after, topic = log.position(), f"order.{orders[0].pk}"
    same = Order.objects.get(pk=orders[0].pk)
    Order(pk=str(orders[0].pk).zfill(9)).delete()
    assert same.delete() == (0, {"orders.Order": 0})
    assert told(after) == [(topic, "deleted", {})]
    assert same.pk is None


def test_an_update_forgets_what_was_read(orders: list[Order]) -> None:
    """As Django's own does."""
    rows = Order.objects.filter(pk=orders[0].pk)
    assert [row.status for row in rows] == ["new"]
    rows.update(status="paid")
    assert [row.status for row in rows] == ["paid"]


def test_what_json_cannot_hold_is_left_out(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And named, and logged: the project's own save does not fail."""
    monkeypatch.setattr(Order, "live_fields", ("status", "weight"))
    after = log.position()
    save(orders[0], status="paid", weight=float("inf"))
    assert told(after)[0][2] == {"status": "paid", "truncated": ["weight"]}
    assert snapshots()[f"order.{orders[0].pk}"] == told(after)[0][2]
    assert "weight is not told" in caplog.text


def test_a_row_whose_key_is_no_topics_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the others of the same change are told."""
    found = [event.topic for event in events_of(Order, {"a b": CHANGED, "a-b": CHANGED, "a.b": CHANGED}, {})]
    assert found == ["order.a-b"]
    assert caplog.text.count("orders.Order is not told") == 2


def test_a_change_that_cannot_be_seen_tells_nothing(orders: list[Order]) -> None:
    """Of a secret nothing is told, not even that it is another."""
    save(orders[0], contact={"password": "one"})
    after = log.position()
    save(orders[0], contact={"password": "two"})
    assert told(after) == []


@pytest.mark.parametrize("option", ["ignore_conflicts", "update_conflicts"])
def test_conflicts_cannot_be_passed_over(orders: list[Order], option: str) -> None:
    """Nobody would know which rows were written."""
    with pytest.raises(ValueError, match="conflicts"):
        Order.objects.bulk_create([Order(customer=orders[0].customer)], **{option: True})


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_writers_at_the_same_time_are_told_in_their_order(orders: list[Order]) -> None:
    """The second waits for the first, and tells what it found and changed."""
    after = log.position()

    def add() -> None:
        Order.objects.filter(pk=orders[0].pk).update(total=F("total") + 1)

    with open_transaction("postgres", add):
        second = in_thread(add)
    second.result(DEADLINE)
    assert [data["total"] for _, _, data in told(after)] == ["1.00", "2.00"]
