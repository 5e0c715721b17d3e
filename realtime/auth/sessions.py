"""Django's session cookie as a credential. Read only: a look from here never changes a session."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from realtime.auth.identity import fingerprint, viewer_of
from realtime.events import Credential, Viewer
from realtime.exceptions import NOT_AUTHENTICATED, Refused

KIND = "session"
#: Engines that keep each session in a row, so that many can be asked for at once.
IN_TABLE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def verify(key: str) -> Viewer:
    """Return who is logged in with the session of that key. Raises ``Refused`` when nobody is."""
    if not (key.isascii() and key.isprintable()):
        # No engine makes such a key, and a database may not even take it for a question.
        raise Refused(NOT_AUTHENTICATED, "The session is not that of a logged-in user.")
    user = _user(_store(key))
    if user is None or not getattr(user, "is_active", True):
        raise Refused(NOT_AUTHENTICATED, "The session is not that of a logged-in user.")
    return viewer_of(user, Credential(KIND, password=fingerprint(user), session=key))


def alive(keys: Collection[str]) -> set[str]:
    """Return those of the sessions in which somebody still is logged in, as far as the engine can tell."""
    if settings.SESSION_ENGINE in IN_TABLE:
        table = import_module(settings.SESSION_ENGINE).SessionStore.get_model_class()
        rows = table.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
        return set(rows.values_list("session_key", flat=True))
    return {key for key in keys if SESSION_KEY in _store(key)}


def _store(key: str) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def _user(session: Any) -> Any:
    """Return the session's user as ``django.contrib.auth.get_user`` does, but leave the session alone."""
    backend_path = session.get(BACKEND_SESSION_KEY)
    if SESSION_KEY not in session or backend_path not in settings.AUTHENTICATION_BACKENDS:
        return None
    user_id = get_user_model()._meta.pk.to_python(session[SESSION_KEY])
    user = load_backend(backend_path).get_user(user_id)
    if user is None or not hasattr(user, "get_session_auth_hash"):
        return user
    given = session.get(HASH_SESSION_KEY) or ""
    return user if any(constant_time_compare(given, good) for good in _good_hashes(user)) else None


def _good_hashes(user: Any) -> Iterable[str]:
    yield user.get_session_auth_hash()
    yield from user.get_session_auth_fallback_hash()
