"""Who may see what: Django's own permissions, asked in one place."""

from __future__ import annotations

from typing import Any

VIEW_ALL = "realtime.view_task"
BROADCAST = "realtime.add_broadcast"


def may_view_all(user: Any) -> bool:
    """Tell whether ``user`` sees everybody's tasks. Reads the database once per user object."""
    return _has(user, VIEW_ALL)


def may_broadcast(user: Any) -> bool:
    """Tell whether ``user`` may send and retract broadcasts. Reads the database once per user object."""
    return _has(user, BROADCAST)


def _has(user: Any, permission: str) -> bool:
    # A user model without PermissionsMixin knows of no permissions.
    ask = getattr(user, "has_perm", None)
    return ask is not None and bool(ask(permission))
