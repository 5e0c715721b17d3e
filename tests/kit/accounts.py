"""Users, rights and tokens, made inside a process of the site (see `tests.kit.remote`)."""

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore

from realtime.api.tokens import LoginSerializer


def create_user(
    name: str,
    permissions: Sequence[str] = (),
    password: str | None = None,
    staff: bool = False,
    superuser: bool = False,
) -> int:
    """Create a user with permissions given as `app.codename`, and return its id.

    Without a password there is none: hashing one costs a fifth of a second.
    """
    user = User(username=name, is_staff=staff or superuser, is_superuser=superuser)
    user.set_password(password)
    user.save()
    for permission in permissions:
        app, _, codename = permission.partition(".")
        found = Permission.objects.get(content_type__app_label=app, codename=codename)
        user.user_permissions.add(found)
    return int(user.pk)


def access_token(name: str, lifetime: float | None = None) -> str:
    """An access token as the token endpoint gives it; `lifetime` in seconds replaces the usual."""
    token = LoginSerializer.get_token(User.objects.get(username=name)).access_token
    if lifetime is not None:
        token.set_exp(lifetime=timedelta(seconds=lifetime))
    return str(token)


def token_pair(name: str) -> dict[str, str]:
    """An access and a refresh token as the token endpoint gives them, without its throttle."""
    refresh = LoginSerializer.get_token(User.objects.get(username=name))
    return {"access": str(refresh.access_token), "refresh": str(refresh)}


def session_key(name: str) -> str:
    """Log the user in and return the key of the session: the value of the cookie `sessionid`."""
    user = User.objects.get(username=name)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)
