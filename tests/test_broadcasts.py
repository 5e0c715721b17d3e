"""Sending a broadcast: what is stored, what the log gets, when, and how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.utils import timezone

from realtime import broadcasts, log
from realtime.events import LogEvent
from realtime.exceptions import InvalidValue, KeyConflict
from realtime.models import Broadcast, Event, Node

Users = Callable[..., Any]


def told() -> list[LogEvent]:
    """Return the broadcasts and retractions of the log, in order."""
    log.sequence()
    return [row.as_log_event() for row in Event.objects.filter(kind__startswith="broadcast").order_by("id")]


@pytest.mark.requirement("C4")
def test_a_broadcast_is_a_row_and_an_event(engine: str, make_user: Users) -> None:
    """With the sender's name, the time and every word; the audience is in the event, not in the frame."""
    sender = make_user("ann")
    sent = broadcasts.send(
        "Soon.", title="Power", type="alert", level="critical", data={"a": 1}, sender=sender
    )
    (event,) = told()
    row = Broadcast.objects.get()
    assert (row.sender, row.sender_name, row.published_at is not None) == (sender, "ann", True)
    assert event.data["broadcast_id"] == str(sent.pk) == str(row.pk)
    assert event.data["sender"] == "ann"
    message = event.data["message"]
    assert (message["type"], message["level"], message["title"]) == ("alert", "critical", "Power")
    assert (message["message"], message["data"], message["dismissible"]) == ("Soon.", {"a": 1}, True)
    assert event.data["audience"] == {"kind": "everyone"}


@pytest.mark.requirement("F9")
def test_a_rolled_back_broadcast_was_never_sent(engine: str) -> None:
    """It is written in the caller's transaction, row and event."""
    with transaction.atomic(using=engine):
        broadcasts.send("Soon.")
        transaction.set_rollback(True, using=engine)
    assert not Broadcast.objects.exists()
    assert told() == []


@pytest.mark.requirement("C5")
def test_the_audit_outlives_the_sender(engine: str, make_user: Users) -> None:
    """Who, when and to whom stay when the account is deleted."""
    sender = make_user("ann")
    broadcasts.send("Soon.", audience="staff", sender=sender)
    sender.delete()
    row = Broadcast.objects.get()
    assert (row.sender, row.sender_name, row.audience) == (None, "ann", {"kind": "staff"})


@pytest.mark.requirement("C6")
def test_a_retraction_is_one_event_however_often_it_is_asked_for(engine: str, make_user: Users) -> None:
    """It goes to the audience of the broadcast, and the row says who took it back."""
    sent = broadcasts.send("Soon.", audience="staff")
    assert broadcasts.retract(sent, by=make_user("bob"))
    assert not broadcasts.retract(sent)
    _, event = told()
    assert event.kind == "broadcast_retracted"
    assert event.data == {"broadcast_id": str(sent.pk), "audience": {"kind": "staff"}}
    row = Broadcast.objects.get()
    assert (row.retracted_by, row.retracted_at is not None) == ("bob", True)


async def test_async_code_sends_and_takes_back(engine: str) -> None:
    """With the same options and the same answers."""
    sent = await broadcasts.asend("Soon.", audience="staff")
    assert [await broadcasts.aretract(sent) for _ in range(2)] == [True, False]
    _, event = await sync_to_async(told)()
    assert event.data == {"broadcast_id": str(sent.pk), "audience": {"kind": "staff"}}
    await sync_to_async(connections.close_all)()


@pytest.mark.requirement("C5")
def test_a_broadcast_with_a_start_waits_for_it(engine: str) -> None:
    """It is published once it is due, by whoever looks; one that was retracted meanwhile never is."""
    soon = timezone.now() + timedelta(minutes=5)
    waiting = broadcasts.send("Later.", starts_at=soon)
    taken_back = broadcasts.send("Never.", starts_at=soon)
    broadcasts.retract(taken_back)
    broadcasts.publish_due()
    assert told() == []
    Broadcast.objects.update(starts_at=timezone.now() - timedelta(seconds=1))
    broadcasts.publish_due()
    broadcasts.publish_due()
    assert [event.data["broadcast_id"] for event in told()] == [str(waiting.pk)]


@pytest.mark.requirement("C5")
def test_of_many_processes_one_publishes_what_is_due(engine: str) -> None:
    """Eight look at the same time; there is one event."""
    broadcasts.send("Later.", starts_at=timezone.now() + timedelta(minutes=5))
    Broadcast.objects.update(starts_at=timezone.now() - timedelta(seconds=1))
    ready = threading.Barrier(8)

    def look() -> None:
        try:
            ready.wait(10)
            broadcasts.publish_due()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(told()) == 1


@pytest.mark.requirement("C5")
def test_an_idempotency_key_sends_once(engine: str, make_user: Users) -> None:
    """The same again gives the first one's row; something else is a conflict; others have their own keys."""
    ann, bob = make_user("ann"), make_user("bob")
    first = broadcasts.send("Soon.", sender=ann, idempotency_key="k")
    assert broadcasts.send("Soon.", sender=ann, idempotency_key="k").pk == first.pk
    with pytest.raises(KeyConflict):
        broadcasts.send("Now.", sender=ann, idempotency_key="k")
    broadcasts.send("Now.", sender=bob, idempotency_key="k")
    assert len(told()) == 2


@pytest.mark.requirement("C5")
def test_a_key_that_is_raced_sends_once(engine: str, make_user: Users) -> None:
    """Eight calls at the same time with one key are one broadcast, and all eight get its row."""
    sender, ready = make_user("ann"), threading.Barrier(8)
    found: list[Any] = []

    def call() -> None:
        try:
            ready.wait(10)
            found.append(broadcasts.send("Soon.", sender=sender, idempotency_key="k").pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(found), len(set(found)), len(told())) == (8, 1, 1)


@pytest.mark.requirement("C3")
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("message", {"message": ""}),
        ("message", {"message": "<b></b>"}),
        ("message", {"message": "x" * 4001}),
        ("message", {"message": 5}),
        ("title", {"title": "x" * 201}),
        ("type", {"type": "shout"}),
        ("level", {"level": "panic"}),
        ("level", {"level": ["info"]}),
        ("data", {"data": {"a": "x" * 20_000}}),
        ("data", {"data": {"a": object()}}),
        ("data", {"data": float("nan")}),
        ("audience", {"audience": "nobody"}),
        ("audience", {"audience": {"kind": "group", "group": "no such group"}}),
        ("audience", {"audience": {"kind": "group", "group": True}}),
        ("audience", {"audience": {"kind": "users", "users": []}}),
        ("audience", {"audience": {"kind": "users", "users": ["987654321"]}}),
        ("audience", {"audience": {"kind": "users", "users": ["x"]}}),
        ("audience", {"audience": {"kind": "users", "users": [10**30]}}),
        ("audience", {"audience": {"kind": "staff", "users": ["1"]}}),
        ("audience", {"audience": ["staff"]}),
        ("ends_at", {"ends_at": timezone.now() - timedelta(seconds=1)}),
        ("ends_at", {"starts_at": timezone.now() + timedelta(days=2), "ends_at": timezone.now()}),
        ("starts_at", {"starts_at": timezone.now().replace(tzinfo=None)}),
        ("starts_at", {"starts_at": timezone.now() - timedelta(hours=2)}),
        ("starts_at", {"starts_at": datetime.max.replace(tzinfo=UTC)}),
        ("message", {"message": "a<b " * 900}),
        ("title", {"title": "<a" * 100}),
        ("data", {"data": {"a": 1, "<b>a</b>": 2}}),
        ("idempotency_key", {"idempotency_key": "x" * 201}),
    ],
)
def test_a_bad_value_is_named_and_nothing_is_sent(engine: str, field: str, values: dict[str, Any]) -> None:
    """The error says which field it is about."""
    with pytest.raises(InvalidValue) as caught:
        broadcasts.send(**({"message": "Soon."} | values))
    assert caught.value.field == field
    assert not Broadcast.objects.exists()


@pytest.mark.requirement("C5")
def test_a_group_is_found_by_name_and_by_id(engine: str) -> None:
    """The event carries its id, and for the record its name; a number is an id, whatever is called so."""
    group = Group.objects.create(name="Editors")
    Group.objects.create(name=str(group.pk))
    for asked in ("Editors", group.pk):
        sent = broadcasts.send("Soon.", audience={"kind": "group", "group": asked})
        assert sent.audience == {"kind": "group", "group": str(group.pk), "name": "Editors"}


@pytest.mark.requirement("C5")
def test_keys_without_a_sender_are_kept_apart_from_those_of_senders(engine: str, make_user: Users) -> None:
    """A timer's key sends once; that of somebody whose account is gone is not the timer's."""
    sender = make_user("ann")
    broadcasts.send("Soon.", sender=sender, idempotency_key="k")
    sender.delete()
    first = broadcasts.send("Soon.", idempotency_key="k")
    assert broadcasts.send("Soon.", idempotency_key="k").pk == first.pk
    assert len(told()) == 2


def test_a_process_that_has_no_clients_is_not_waited_for(engine: str) -> None:
    """Without a live node nobody was reached, and that is known at once."""
    assert broadcasts.wait_for_reach(broadcasts.send("Soon.")) == (0, True)


def test_a_count_that_is_known_stays(engine: str) -> None:
    """A repeated call with a key asks nobody again, however long ago the first was."""
    sent = broadcasts.send("Soon.")
    Broadcast.objects.update(recipient_count=7)
    assert broadcasts.wait_for_reach(sent) == (7, True)


def test_within_a_transaction_nothing_is_waited_for(engine: str, make_user: Users, settings: Any) -> None:
    """Nobody can hear of it before the commit."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 60}
    Node.objects.create(host="here", pid=1, started_at=timezone.now(), seen_at=timezone.now())
    with transaction.atomic(using=engine):
        sent = broadcasts.send("Soon.")
        begin = time.monotonic()
        assert broadcasts.wait_for_reach(sent) == (0, False)
    assert time.monotonic() - begin < 0.8 * broadcasts.LONGEST
