"""How long an access token lives: an hour where the project says nothing, else as long as it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, override_settings
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from realtime.auth import tokens

#: In minutes: ours, and simplejwt's own.
OURS, THEIRS = 60, 5

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


def ask(path: str, **body: str) -> dict[str, str]:
    """Post to one of our doors for tokens."""
    answer = Client().post(f"/api/token/{path}", body, content_type="application/json")
    assert answer.status_code == 200, answer.content
    found: dict[str, str] = answer.json()
    return found


def minutes(token: Token) -> float:
    """For how long a fresh token is good."""
    return float((token["exp"] - token["iat"]) / 60)


def access(raw: str) -> Token:
    """The access token behind the text."""
    token: Token = AccessToken(raw)  # type: ignore[arg-type]
    return token


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project that says nothing of access tokens: simplejwt makes them for five minutes."""
    monkeypatch.setattr(AccessToken, "lifetime", timedelta(minutes=THEIRS))
    with override_settings(SIMPLE_JWT={"REFRESH_TOKEN_LIFETIME": timedelta(days=1)}):
        yield


@pytest.mark.usefixtures("quiet")
def test_where_the_project_says_nothing_ours_live_for_an_hour(
    engine: str, make_user: Callable[..., Any]
) -> None:
    """Of a login and of a refresh; refresh tokens live as the project has them."""
    make_user("ann", password="right")
    pair = ask("", username="ann", password="right")
    again = ask("refresh/", refresh=pair["refresh"])
    assert minutes(access(pair["access"])) == pytest.approx(OURS, abs=0.1)
    assert minutes(access(again["access"])) == pytest.approx(OURS, abs=0.1)
    assert minutes(RefreshToken(pair["refresh"])) == 24 * 60  # type: ignore[arg-type]
    assert tokens.verify(again["access"]).expires_at == access(again["access"])["exp"]


@pytest.mark.usefixtures("quiet")
def test_tokens_of_others_live_as_ever(engine: str, make_user: Callable[..., Any]) -> None:
    """A view of the project's own that gives tokens is not ours to change; its tokens open our doors."""
    make_user("ann", password="right")
    theirs = TokenObtainPairSerializer(data={"username": "ann", "password": "right"})
    assert theirs.is_valid()
    raw = theirs.validated_data["access"]
    assert minutes(access(raw)) == THEIRS
    answer = Client(headers={"authorization": f"Bearer {raw}"}).get("/api/tasks/")
    assert answer.status_code == 200


def test_what_the_project_says_counts(
    engine: str, make_user: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is less than ours."""
    monkeypatch.setattr(AccessToken, "lifetime", timedelta(minutes=7))
    make_user("ann", password="right")
    with override_settings(SIMPLE_JWT={"ACCESS_TOKEN_LIFETIME": timedelta(minutes=7)}):
        pair = ask("", username="ann", password="right")
        again = ask("refresh/", refresh=pair["refresh"])
    assert minutes(access(pair["access"])) == minutes(access(again["access"])) == 7
