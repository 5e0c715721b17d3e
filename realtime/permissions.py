"""Who may see what: Django's own permissions, asked in one place."""

from __future__ import annotations

from typing import Any

VIEW_ALL = "realtime.view_task"


def may_view_all(user: Any) -> bool:
    """Tell whether ``user`` sees everybody's tasks. Reads the database once per user object."""
    return bool(user.has_perm(VIEW_ALL))
