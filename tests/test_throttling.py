"""How often somebody may call, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connections
from django.test import Client

Users = Callable[..., Any]


@pytest.fixture(autouse=True)
def counts(settings: Any) -> Iterator[None]:
    """Three of each, counted from nothing."""
    rates = dict.fromkeys(("realtime-login", "realtime-broadcast"), "3/min")
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": rates}
    cache.clear()
    yield
    cache.clear()


def log_in(name: str, password: str, address: str = "192.0.2.1") -> Any:
    """Ask for tokens."""
    body = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post("/api/token/", body, content_type="application/json")


def test_only_logins_that_fail_are_counted(engine: str, make_user: Users) -> None:
    """Per address: who knows the password logs in as often as he likes, who guesses does not."""
    make_user("ann", password="right")
    assert [log_in("ann", "right").status_code for _ in range(5)] == [200] * 5
    assert [log_in("ann", "wrong").status_code for _ in range(4)] == [401, 401, 401, 429]
    refused = log_in("ann", "right")
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 0 < int(refused["Retry-After"]) <= 60
    assert log_in("ann", "right", address="192.0.2.2").status_code == 200


def test_guesses_at_the_same_time_are_all_counted(engine: str, make_user: Users) -> None:
    """A guesser gains nothing by not waiting for the answer."""
    make_user("ann", password="right")

    def guess(number: int) -> int:
        try:
            return int(log_in("ann", f"wrong {number}").status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as guessers:
        codes = list(guessers.map(guess, range(16)))
    assert codes.count(401) <= 3
    assert set(codes) <= {401, 429}


def test_a_network_of_one_client_is_one_address(engine: str) -> None:
    """With IPv6 a client has as many addresses as he likes."""
    codes = [log_in("ann", "wrong", address=f"2001:db8::{n}").status_code for n in range(1, 5)]
    assert codes == [401, 401, 401, 429]


def test_guessed_refresh_tokens_are_counted_with_them(engine: str) -> None:
    """A stranger has one allowance for both doors."""
    body = {"refresh": "guess"}
    client = Client(REMOTE_ADDR="192.0.2.1")
    codes = [
        client.post("/api/token/refresh/", body, content_type="application/json").status_code
        for _ in range(3)
    ]
    assert codes == [401] * 3
    assert log_in("ann", "wrong").status_code == 429


def test_an_address_that_somebody_claims_does_not_count(engine: str) -> None:
    """Without TRUSTED_PROXIES the header is anybody's word."""
    for number in range(3):
        client = Client(REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": f"198.51.100.{number}"})
        body = {"username": "ann", "password": "wrong"}
        assert client.post("/api/token/", body, content_type="application/json").status_code == 401
    assert log_in("ann", "wrong").status_code == 429


@pytest.mark.requirement("C5")
def test_who_broadcasts_too_often_is_throttled(engine: str, make_user: Users) -> None:
    """Counted per sender, whatever becomes of the call."""
    ann, bob = make_user("ann", password="right"), make_user("bob", password="right")
    clients = []
    for user in (ann, bob):
        user.user_permissions.add(Permission.objects.get(codename="add_broadcast"))
        token = log_in(user.username, "right").json()["access"]
        clients.append(Client(headers={"authorization": f"Bearer {token}"}))
    body = {"message": ""}
    answers = [clients[0].post("/broadcast", body, content_type="application/json") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert answers[-1].json()["code"] == "throttled"
    assert clients[1].post("/broadcast", body, content_type="application/json").status_code == 400
