"""Users as operators name them on a command line."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import CommandError


def find_user(name: str) -> Any:
    """Return the user of that name, or else of that id. Raises ``CommandError`` when there is none."""
    model = get_user_model()
    users = model._default_manager
    try:
        return users.get(**{model.USERNAME_FIELD: name})
    except ObjectDoesNotExist:
        pass
    try:
        return users.get(pk=name)
    except (ObjectDoesNotExist, ValidationError, ValueError, TypeError):
        raise CommandError(f"There is no user {name}.") from None
