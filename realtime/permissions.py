"""Who may see what: Django's own permissions, asked in one place."""

from __future__ import annotations

from typing import Any

VIEW_ALL = "realtime.view_task"
#: To other people's tasks, beside seeing them: a task may be created for somebody, or retried.
ADD_TASK, CHANGE_TASK, DELETE_TASK = "realtime.add_task", "realtime.change_task", "realtime.delete_task"
#: To what the admin shows beside tasks: the log, the clients, the server processes.
VIEW_EVENTS, VIEW_CONNECTIONS = "realtime.view_event", "realtime.view_connection"
VIEW_NODES = "realtime.view_node"
BROADCAST = "realtime.add_broadcast"
#: A row of the table is a client: who may delete one may end the connection, and nobody else may.
DISCONNECT = "realtime.delete_connection"


def may_view_all(user: Any) -> bool:
    """Tell whether ``user`` sees everybody's tasks. Reads the database once per user object."""
    return may(user, VIEW_ALL)


def may_broadcast(user: Any) -> bool:
    """Tell whether ``user`` may send and retract broadcasts. Reads the database once per user object."""
    return may(user, BROADCAST)


def may_disconnect(user: Any) -> bool:
    """Tell whether ``user`` may close other people's connections."""
    return may(user, DISCONNECT)


def may(user: Any, permission: str) -> bool:
    """Tell whether ``user`` has one of the permissions above, or a project's own."""
    # A user model without PermissionsMixin knows of no permissions.
    ask = getattr(user, "has_perm", None)
    return ask is not None and bool(ask(permission))
