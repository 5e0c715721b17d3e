"""What the form of a broadcast says when something is wrong, and of hours that clocks skip or repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from realtime import broadcasts
from realtime.admin.reach import estimate
from realtime.models import Broadcast
from tests.broadcast_form import ADD, FORM, LIST

TO_STAFF = FORM | {"audience_kind": "staff"}


@pytest.fixture
def client(make_user: Callable[..., Any]) -> Client:
    """A browser of somebody who may do everything."""
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def vienna() -> Iterator[None]:
    """The zone of the site, whose clocks change on 2035-03-25 and 2035-10-28."""
    with timezone.override("Europe/Vienna"):
        yield


def at(name: str, day: str, clock: str = "10:00") -> dict[str, str]:
    """A date and a time as the form sends them."""
    return {f"{name}_0": day, f"{name}_1": clock}


@pytest.mark.requirement("C7")
@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        (
            {"message": "<b></b><br>"},
            "message",
            "Nothing is left of it: what looks like markup is taken out.",
        ),
        (
            at("starts_at", "2020-01-01"),
            "starts_at",
            "This start, and the hour after it, are past: choose a later one, or say when it ends.",
        ),
        (
            at("ends_at", "2020-01-01"),
            "ends_at",
            "The end must be later than now, and later than the start.",
        ),
        (
            at("starts_at", "2036-01-02") | at("ends_at", "2036-01-01"),
            "ends_at",
            "The end must be later than now, and later than the start.",
        ),
        (at("starts_at", "9999-12-31", "23:59"), "starts_at", "The start is too far away."),
    ],
)
def test_an_error_is_told_by_the_label_and_says_what_to_do(
    engine: str, client: Client, typed: dict[str, str], field: str, words: str
) -> None:
    """Not in the names that a program has for the fields."""
    answer = client.post(ADD, TO_STAFF | typed)
    assert answer.context["adminform"].form.errors == {field: [words]}
    for name in typed:
        assert f'name="{name}"' in answer.text
    assert not Broadcast.objects.exists()


@pytest.mark.requirement("C5")
def test_of_an_hour_that_a_night_has_twice_the_first_is_meant(
    engine: str, client: Client, vienna: None
) -> None:
    """And the page that asks once more tells which."""
    typed = at("starts_at", "2035-10-28", "02:30") | at("ends_at", "2035-10-28", "02:45")
    asked = client.post(ADD, FORM | typed)
    assert "2035-10-28 02:30:00 CEST, Europe/Vienna" in asked.text
    client.post(ADD, TO_STAFF | typed)
    [sent] = Broadcast.objects.all()
    assert sent.starts_at == datetime(2035, 10, 28, 0, 30, tzinfo=UTC)
    assert sent.ends_at == datetime(2035, 10, 28, 0, 45, tzinfo=UTC)


@pytest.mark.requirement("C5")
def test_an_hour_that_a_night_leaves_out_is_refused(engine: str, client: Client, vienna: None) -> None:
    """In words; what was typed is still there."""
    answer = client.post(ADD, TO_STAFF | at("starts_at", "2035-03-25", "02:30"))
    words = "The clocks go forward then, and there is no such time: choose a later one."
    assert answer.context["adminform"].form.errors == {"starts_at": [words]}
    assert 'value="02:30"' in answer.text


def test_half_a_time_is_none(engine: str, client: Client) -> None:
    """A date without a time is asked for again."""
    answer = client.post(ADD, TO_STAFF | {"starts_at_0": "2036-01-01"})
    assert answer.context["adminform"].form.errors == {"starts_at": ["Enter a valid time."]}


def test_where_nobody_is_connected_nobody_is_said_to_be_dead(engine: str, client: Client) -> None:
    """Of a process that serves only these pages nothing is known: it may live very well."""
    assert estimate({"kind": "everyone"}).note.startswith("Nobody is connected. ")
    sent = broadcasts.send("Soon.")
    assert "Complete: nobody was connected." in client.get(f"{LIST}{sent.pk}/change/").text
