"""A token is worth as much as the password it was given for, however that one is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client

from realtime.models import Revocation

Users = Callable[..., Any]
NEW = "a new password"


def save(user: Any) -> None:
    """Change it as a form does."""
    user.set_password(NEW)
    user.save()


def update(user: Any) -> None:
    """Change it past every signal."""
    User.objects.filter(pk=user.pk).update(password=make_password(NEW))


def assign(user: Any) -> None:
    """Change it by a hash that was made elsewhere."""
    user.password = make_password(NEW)
    user.save()


def pair(name: str, password: str) -> dict[str, str]:
    """Log in; return the tokens."""
    body = {"username": name, "password": password}
    answer = Client().post("/api/token/", body, content_type="application/json")
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()
    return found


def asks(access: str) -> Any:
    """Ask for the tasks."""
    return Client(headers={"authorization": f"Bearer {access}"}).get("/api/tasks/")


@pytest.mark.requirement("K9")
@pytest.mark.parametrize("change", [save, update, assign])
def test_tokens_of_the_old_password_are_refused(
    engine: str, make_user: Users, change: Callable[[Any], None]
) -> None:
    """Access and refresh token; those of the new password are good."""
    user = make_user("ann", password="old")
    old = pair("ann", "old")
    assert asks(old["access"]).status_code == 200
    change(User.objects.get(pk=user.pk))
    assert (asks(old["access"]).status_code, asks(old["access"]).json()["code"]) == (401, "revoked")
    refresh = Client().post(
        "/api/token/refresh/", {"refresh": old["refresh"]}, content_type="application/json"
    )
    assert (refresh.status_code, refresh.json()["code"]) == (401, "revoked")
    new = pair("ann", NEW)
    assert asks(new["access"]).status_code == 200
    refreshed = Client().post(
        "/api/token/refresh/", {"refresh": new["refresh"]}, content_type="application/json"
    )
    assert asks(refreshed.json()["access"]).status_code == 200


@pytest.mark.requirement("K9")
def test_a_save_that_leaves_the_password_logs_nobody_out(engine: str, make_user: Users) -> None:
    """Another name, another address: the tokens stay."""
    user = make_user("ann", password="old")
    old = pair("ann", "old")
    user = User.objects.get(pk=user.pk)
    user.first_name = "Ann"
    user.save()
    assert asks(old["access"]).status_code == 200
    assert not Revocation.objects.exists()


@pytest.mark.requirement("K8")
@pytest.mark.parametrize("key", ['"aaaaaaaaaa\\000a"', "schlüssel", "a" * 5000])
async def test_a_cookie_that_no_session_has_is_a_stranger(engine: str, async_client: Any, key: str) -> None:
    """401, whatever stands in it; no failure of the server."""
    answer = await async_client.get(
        "/events", headers={"cookie": f"sessionid={key}", "origin": "http://testserver"}
    )
    assert answer.status_code in (401, 403)
    assert answer.json()["code"] in ("not_authenticated", "origin_not_allowed")
