"""From a Django user to what the app knows of him, and what a look at many users finds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import Group
from django.utils.module_loading import import_string

from realtime.events import Credential, Viewer
from realtime.permissions import VIEW_ALL, may_view_all

#: The backend whose permissions can be asked for many users in one query.
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
#: Columns that its query needs, and methods with which a backend may have rules of its own.
_COLUMNS = {"is_active", "is_superuser", "groups", "user_permissions"}
_RULES = ("has_perm", "get_all_permissions", "get_user_permissions", "get_group_permissions")


def fingerprint(user: Any) -> str:
    """Return what changes with the user's password; "" for a user model that has none."""
    make = getattr(user, "get_session_auth_hash", None)
    return make() if make else ""


def viewer_of(user: Any, credential: Credential | None = None, expires_at: float | None = None) -> Viewer:
    """Return ``user`` as a viewer. Reads the database: permissions and groups."""
    return Viewer(
        user_id=str(user.pk),
        view_all=may_view_all(user),
        expires_at=expires_at,
        staff=bool(getattr(user, "is_staff", False)),
        groups=_groups([user]).get(str(user.pk), frozenset()),
        credential=credential,
    )


def load_active(user_ids: Collection[str]) -> dict[str, Viewer]:
    """Return the active users among ``user_ids`` as viewers, in three queries where that is possible.

    The ``credential`` of each holds the fingerprint of the password as it is now.
    """
    # Asked of the object: a project's own user model may have no such column.
    users = [
        u for u in get_user_model()._default_manager.filter(pk__in=user_ids) if getattr(u, "is_active", True)
    ]
    seers = _who_views_all(users)
    groups = _groups(users)
    return {
        str(user.pk): Viewer(
            user_id=str(user.pk),
            view_all=user.pk in seers,
            staff=bool(getattr(user, "is_staff", False)),
            groups=groups.get(str(user.pk), frozenset()),
            credential=Credential("", password=fingerprint(user)),
        )
        for user in users
    }


def _who_views_all(users: list[Any]) -> set[Any]:
    """Return the keys of those who may view all tasks: by one query where Django's own rules are asked.

    Who is left is asked one by one where a backend has rules of its own.
    """
    seers = _by_query(users)
    if seers is None:
        return {user.pk for user in users if may_view_all(user)}
    if any(_has_own_rules(import_string(path)) for path in settings.AUTHENTICATION_BACKENDS):
        seers |= {user.pk for user in users if user.pk not in seers and may_view_all(user)}
    return seers


def _by_query(users: list[Any]) -> set[Any] | None:
    """Return whom Django's ``ModelBackend`` lets view all; None for a user model that it cannot query."""
    model = get_user_model()
    columns = {field.name for field in model._meta.get_fields()}
    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    if not any(issubclass(backend, ModelBackend) for backend in backends):
        return set()
    if not hasattr(model._default_manager, "with_perm") or not columns >= _COLUMNS:
        return None
    allowed = model._default_manager.with_perm(VIEW_ALL, backend=MODEL_BACKEND)
    return set(allowed.filter(pk__in=[user.pk for user in users]).values_list("pk", flat=True))


def _has_own_rules(backend: type) -> bool:
    """Tell whether a backend has other rules than Django's: those grant what is in the tables, or nothing."""
    return any(
        getattr(backend, name, None) not in (None, getattr(ModelBackend, name), getattr(BaseBackend, name))
        for name in _RULES
    )


def _groups(users: Iterable[Any]) -> dict[str, frozenset[str]]:
    """Return the groups of each user; a user model without groups has none."""
    pks = [user.pk for user in users]
    if not hasattr(get_user_model(), "groups") or not pks:
        return {}
    found: dict[str, set[str]] = {}
    pairs = Group.objects.filter(user__in=pks).order_by().values_list("user", "pk")
    for user_id, group_id in pairs:
        found.setdefault(str(user_id), set()).add(str(group_id))
    return {user_id: frozenset(ids) for user_id, ids in found.items()}
