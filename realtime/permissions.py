"""Who may see what: Django's own permissions, asked in one place."""

from __future__ import annotations

from typing import Any

VIEW_ALL = "realtime.view_task"
BROADCAST = "realtime.add_broadcast"
#: A row of the table is a client: who may delete one may end the connection, and nobody else may.
DISCONNECT = "realtime.delete_connection"


def may_view_all(user: Any) -> bool:
    """Tell whether ``user`` sees everybody's tasks. Reads the database once per user object."""
    return _has(user, VIEW_ALL)


def may_broadcast(user: Any) -> bool:
    """Tell whether ``user`` may send and retract broadcasts. Reads the database once per user object."""
    return _has(user, BROADCAST)


def may_disconnect(user: Any) -> bool:
    """Tell whether ``user`` may close other people's connections."""
    return _has(user, DISCONNECT)


def _has(user: Any, permission: str) -> bool:
    # A user model without PermissionsMixin knows of no permissions.
    ask = getattr(user, "has_perm", None)
    return ask is not None and bool(ask(permission))
