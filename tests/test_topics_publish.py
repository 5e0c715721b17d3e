"""Events of a project's own topics on their way into the log: atomic, ordered, clean, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.test import override_settings

from realtime import apublish, log, publish, publishing, replay
from realtime.events import Viewer
from realtime.exceptions import InvalidValue
from realtime.models import Event
from tests.journal import journal
from tests.kit.threads import DEADLINE, in_thread, open_transaction
from tests.orders.models import Order


def told() -> list[tuple[str, Any, Any]]:
    """Topic, type and data of every event."""
    return [(event.topic, event.data["event"], event.data["data"]) for event in journal()]


def test_an_event_is_in_the_log_at_once(engine: str) -> None:
    """Outside of a transaction it is positioned when ``publish`` returns; positions are consecutive."""
    publish("order.42", "shipped", {"carrier": "DHL"})
    publish("news", "written")
    assert told() == [("order.42", "shipped", {"carrier": "DHL"}), ("news", "written", {})]
    first, second = journal()
    assert second.position == first.position + 1
    assert not log.has_pending()


def test_an_event_is_part_of_the_transaction(engine: str) -> None:
    """Rolled back, also to a savepoint, it has never been; committed, it comes in its order."""
    with transaction.atomic(using=engine):
        publish("order.1", "first")
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=engine):
            publish("order.1", "undone")
            raise ZeroDivisionError
        publish("order.1", "second")
        assert journal() == []
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=engine):
        publish("order.1", "undone.too")
        raise ZeroDivisionError
    assert [type for _, type, _ in told()] == ["first", "second"]


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_late_commit_comes_after_what_was_committed_before(engine: str) -> None:
    """The order is that of the commits: no cursor passes over an event that is still to come."""
    with open_transaction(engine, lambda: publish("order.1", "written.first")):
        publish("order.1", "committed.first")
    assert [type for _, type, _ in told()] == ["committed.first", "written.first"]


async def test_async_code_publishes_too(engine: str) -> None:
    """``apublish`` is the same."""
    await apublish("news", "written", {"title": "Hello"})
    assert await Event.objects.filter(topic="news", position__isnull=False).acount() == 1
    await sync_to_async(connections.close_all)()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("topic", ("nothing", "shipped")),
        ("topic", ("order", "shipped")),
        ("topic", ("news.7", "written")),
        ("topic", ("mine", "shipped")),
        ("topic", ("order.42 ", "shipped")),
        ("topic", ("order." + "4" * 65, "shipped")),
        ("topic", (None, "shipped")),
        ("topic", (42, "shipped")),
        ("type", ("order.42", "")),
        ("type", ("order.42", "has been shipped")),
        ("type", ("order.42", "s" * 65)),
        ("type", ("order.42", "snapshot")),
        ("type", ("order.42", 5)),
        ("type", ("order.42", None)),
        ("data", ("order.42", "shipped", [1])),
        ("data", ("order.42", "shipped", "DHL")),
        ("data", ("order.42", "shipped", {"total": float("nan")})),
        ("data", ("order.42", "shipped", {"customer": object()})),
        ("data", ("order.42", "shipped", {"text": "x" * 2000})),
        ("audience", ("order.42", "shipped", {}, "friends")),
        ("audience", ("order.42", "shipped", {}, {"kind": "group", "group": "none"})),
    ],
)
def test_what_cannot_be_sent_is_refused(db: None, field: str, arguments: tuple[Any, ...]) -> None:
    """An unknown topic, a type that is no word, data that is no object or too large: nothing is written."""
    with override_settings(REALTIME={"MAX_EVENT_SIZE": 1024}), pytest.raises(InvalidValue) as caught:
        publish(*arguments)
    assert caught.value.field == field
    assert not Event.objects.exists()


def test_secrets_are_not_stored(engine: str) -> None:
    """As of what workers tell; ``REDACT`` turns it off."""
    publish("order.42", "paid", {"card": {"api_key": "abc"}, "note": "password=hunter2"})
    with override_settings(REALTIME={"REDACT": False}):
        publish("order.42", "paid", {"api_key": "abc"})
    assert [data for _, _, data in told()] == [
        {"card": {"api_key": "***"}, "note": "password=***"},
        {"api_key": "abc"},
    ]


def test_an_audience_is_kept_with_the_event(engine: str, make_user: Any) -> None:
    """Everyone is the default and leaves no trace; others are asked for whoever looks."""
    group = Group.objects.create(name="packers")
    user = make_user()
    for audience in (None, "everyone", "staff", {"kind": "group", "group": "packers"}):
        publish("news", "written", audience=audience)
    publish("news", "written", audience={"kind": "users", "users": [user.pk]})
    seen = {
        "anybody": Viewer("0"),
        "staff": Viewer("0", staff=True),
        "packer": Viewer("0", groups=frozenset({str(group.pk)})),
        "named": Viewer(str(user.pk)),
        "who sees all tasks": Viewer("0", view_all=True),
    }
    assert {name: [viewer.sees(event) for event in journal()] for name, viewer in seen.items()} == {
        "anybody": [True, True, False, False, False],
        "staff": [True, True, True, False, False],
        "packer": [True, True, False, True, False],
        "named": [True, True, False, False, True],
        "who sees all tasks": [True, True, False, False, False],
    }
    assert "audience" not in journal()[0].data
    assert "audience" not in journal()[1].data


@pytest.fixture
def elsewhere(transactional_db: None) -> Order:
    """An order in another database than the log."""
    customer = get_user_model().objects.using("postgres").create(username="elsewhere")
    return Order.objects.using("postgres").create(customer=customer)


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
def test_rows_of_another_database_are_told_after_their_commit(elsewhere: Order) -> None:
    """Two databases have no common transaction: not before it, and not without it."""
    topic = f"order.{elsewhere.pk}"
    assert [type for _, type, _ in told()] == ["created"]
    with transaction.atomic(using="postgres"):
        elsewhere.status = "paid"
        elsewhere.save(using="postgres")
        assert len(told()) == 1
    assert (told()[1][0], told()[1][2]["status"]) == (topic, "paid")
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="postgres"):
        Order.objects.using("postgres").update(status="undone")
        raise ZeroDivisionError
    assert len(told()) == 2
    elsewhere.delete(using="postgres")
    assert told()[2] == (topic, "deleted", {})


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
def test_the_last_word_of_another_database_is_how_things_are(elsewhere: Order) -> None:
    """Somebody else's change, committed and told between a commit and what it has to tell, is not undone."""

    def overtake() -> None:
        in_thread(lambda: Order.objects.using("postgres").update(status="sent")).result(DEADLINE)

    with transaction.atomic(using="postgres"):
        transaction.on_commit(overtake, using="postgres")
        Order.objects.using("postgres").update(status="paid")
    assert [data["status"] for _, _, data in told()] == ["new", "sent", "sent"]


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
def test_what_fails_after_another_databases_commit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The change is committed: its caller has nothing to mend, and the callbacks behind it run."""
    done: list[str] = []

    def fail() -> list[Event]:
        raise InvalidValue(message="not to be told")

    with transaction.atomic(using="postgres"):
        publishing.append_after("postgres", fail)
        transaction.on_commit(lambda: done.append("the next"), using="postgres")
    assert done == ["the next"]
    assert "not to be told" in caplog.text


def test_a_topic_is_read_along_an_index(engine: str) -> None:
    """A replay of one topic does not look at the rest of the log."""
    found = Event.objects.filter(replay.matching(["topic:order.1"]), position__gt=0).order_by("position")
    if engine == "default":
        assert "realtime_event_topic" in found.explain()
        return
    with transaction.atomic(using=engine), transaction.get_connection(engine).cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        assert "realtime_event_topic" in found.explain()
