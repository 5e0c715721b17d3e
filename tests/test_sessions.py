"""Django's session cookie as a credential, with every engine that Django has."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone

from realtime.auth import sessions
from realtime.exceptions import NOT_AUTHENTICATED, Refused
from tests import doors
from tests.flows import Live
from tests.kit.clients import StreamClient

Users = Callable[..., Any]
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]


def store(user: Any = None, **values: Any) -> Any:
    """A stored session of the engine in use, in which the user is logged in."""
    session = import_module(sessions.settings.SESSION_ENGINE).SessionStore()
    if user is not None:
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = MODEL_BACKEND
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    for name, value in values.items():
        session[name] = value
    session.save()
    return session


def is_refused(key: str) -> bool:
    """Whether nobody comes in with that cookie."""
    try:
        sessions.verify(key)
    except Refused as refused:
        return refused.problem is NOT_AUTHENTICATED
    return False


@pytest.mark.requirement("44", "S13")
@pytest.mark.parametrize("session_engine", ENGINES)
@pytest.mark.django_db
def test_with_every_engine(session_engine: str, settings: Any, tmp_path: Path) -> None:
    """The session of a logged-in user is his as long as he is logged in; any other is nobody's."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{session_engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    user = sessions.get_user_model().objects.create_user("somebody")
    mine, empty = store(user), store(cart=1)
    viewer = sessions.verify(mine.session_key)
    assert viewer.user_id == str(user.pk)
    assert viewer.credential is not None
    assert viewer.credential.session == mine.session_key
    assert is_refused(empty.session_key)
    assert is_refused("0" * 32)
    assert is_refused("../../etc/passwd")
    assert mine.session_key in sessions.alive([mine.session_key, "0" * 32])
    key = mine.session_key
    mine.flush()
    # Who keeps sessions nowhere cannot be asked whether one has ended.
    assert (key in sessions.alive([key])) == (session_engine == "signed_cookies")
    assert is_refused(key) == (session_engine != "signed_cookies")


@pytest.mark.requirement("44")
def test_sessions_that_django_would_not_take(engine: str, make_user: Users, settings: Any) -> None:
    """Expired, of an old password, an unknown user, a backend that is gone, a closed account: nobody."""
    user = make_user()
    good = store(user).session_key
    assert sessions.verify(good).user_id == str(user.pk)
    for name, value in ((SESSION_KEY, "987654"), (BACKEND_SESSION_KEY, "x.y"), (HASH_SESSION_KEY, "z")):
        assert is_refused(store(user, **{name: value}).session_key)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "new " * 12
    assert sessions.verify(good).user_id == str(user.pk)
    type(user).objects.filter(pk=user.pk).update(is_active=False)
    assert is_refused(good)
    type(user).objects.filter(pk=user.pk).update(is_active=True, password="another")
    assert is_refused(good)


def test_an_expired_session_is_nobodys(engine: str, make_user: Users) -> None:
    """Neither at the door nor while connected."""
    key = store(make_user()).session_key
    Session.objects.update(expire_date=timezone.now())
    assert is_refused(key)
    assert sessions.alive([key]) == set()


def test_a_look_changes_nothing(engine: str, make_user: Users) -> None:
    """A session that is looked at is as it was, though Django itself would renew or flush it."""
    user = make_user()
    key = store(user).session_key
    type(user).objects.filter(pk=user.pk).update(password="another")
    before = Session.objects.values().get()
    assert is_refused(key)
    assert sessions.alive([key]) == {key}
    assert Session.objects.values().get() == before


async def test_a_stream_with_a_cookie_sets_none(live: Live) -> None:
    """The answer does not renew the cookie: a stream of an hour would outlive a logout elsewhere."""
    key = doors.cookie(live, await doors.session(live, await live.person()))
    async with await StreamClient.connect(live.server, headers=key.headers) as stream:
        await stream.wait("connected")
        assert "set-cookie" not in stream.headers
