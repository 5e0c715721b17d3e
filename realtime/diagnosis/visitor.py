"""A visitor of a minute: a user's token and session, and a task of his that changes while he looks.

Nothing of it is left behind: the session and the task are removed, the token ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.exceptions import FieldDoesNotExist
from rest_framework_simplejwt.tokens import AccessToken

from realtime.auth import tokens
from realtime.models import Task

#: Seconds that the token and the session are worth something.
LIFETIME = 60.0
#: Of the task that changes.
NAME = "realtime_check"


@dataclass(frozen=True, slots=True)
class Visitor:
    """What is needed to look as a user; ``session`` is "" where the site keeps none."""

    username: str
    token: str
    session: str
    task_id: str

    def __repr__(self) -> str:
        return f"Visitor({self.username})"


def somebody() -> Any:
    """Return the active user who may do least, None when there is none."""
    users = get_user_model()._default_manager.all()
    order = []
    for name in ("is_superuser", "is_staff"):
        try:
            get_user_model()._meta.get_field(name)
            order.append(name)
        except FieldDoesNotExist:
            continue
    for user in users.order_by(*order, "pk").iterator(100):
        if getattr(user, "is_active", True):
            return user
    return None


@contextmanager
def visiting(user: Any, lifetime: float = LIFETIME) -> Iterator[Visitor]:
    """Make what a visit needs, and take it away in the end."""
    task = Task.objects.create(name=NAME, owner=user)
    session = _session(user, lifetime)
    try:
        key = "" if session is None else session.session_key
        yield Visitor(user.get_username(), _token(user, lifetime), key, str(task.pk))
    finally:
        if session is not None:
            session.delete()
        Task.objects.filter(pk=task.pk).delete()


def change(task_id: str, number: int) -> None:
    """Change the task: one event, with the number in its message."""
    task = Task.objects.get(pk=task_id)
    task.message = str(number)
    task.save()


def _token(user: Any, lifetime: float) -> str:
    token = tokens.stamp(cast(Any, AccessToken.for_user(user)), user)
    token.set_exp(lifetime=timedelta(seconds=lifetime))
    return str(token)


def _session(user: Any, lifetime: float) -> Any:
    """Log the user in, as ``django.contrib.auth.login`` does, for so many seconds; None without sessions."""
    if "django.contrib.sessions" not in settings.INSTALLED_APPS or not hasattr(user, "get_session_auth_hash"):
        return None
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = user._meta.pk.value_to_string(user)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.set_expiry(int(lifetime))
    session.create()
    return session
