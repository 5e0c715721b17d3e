"""Users, rights and tokens, made inside a process of the site (see `tests.kit.remote`)."""

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.utils.module_loading import import_string
from rest_framework_simplejwt.settings import api_settings


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
    user = User.objects.get(username=name)
    serializer = import_string(api_settings.TOKEN_OBTAIN_SERIALIZER)
    token = serializer.get_token(user).access_token
    if lifetime is not None:
        token.set_exp(lifetime=timedelta(seconds=lifetime))
    return str(token)
