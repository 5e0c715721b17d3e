"""Values of the log: an event, who may see it, and how times are written. Pure, no Django."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

TASK_UPDATE = "task_update"
TASK_DELETED = "task_deleted"
BROADCAST = "broadcast"
BROADCAST_RETRACTED = "broadcast_retracted"
#: Internal: rights of the user in ``owner`` may have changed ("" means anybody's). No client sees it.
USER_CHANGED = "user_changed"

TASK_KINDS = frozenset({TASK_UPDATE, TASK_DELETED})
BROADCAST_KINDS = frozenset({BROADCAST, BROADCAST_RETRACTED})
INTERNAL_KINDS = frozenset({USER_CHANGED})
KINDS = TASK_KINDS | BROADCAST_KINDS | INTERNAL_KINDS

PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = (
    "pending",
    "running",
    "completed",
    "failed",
    "cancelled",
)
STATUSES = (PENDING, RUNNING, COMPLETED, FAILED, CANCELLED)
FINAL = frozenset({COMPLETED, FAILED, CANCELLED})


class LogEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable fact with its place in the log.

    ``position`` is 0 until the log has given one. ``owner`` and ``previous_owner`` are user ids as
    text, "" for nobody. ``timestamp`` is RFC 3339, UTC, with ``Z``.
    """

    position: int
    kind: str
    timestamp: str
    task_id: str = ""
    owner: str = ""
    previous_owner: str = ""
    version: int = 0
    data: dict[str, Any] = {}

    @property
    def final(self) -> bool:
        """Whether nothing of the task follows: its last status, or its deletion."""
        if self.kind == TASK_UPDATE:
            return self.data.get("status") in FINAL
        return self.kind == TASK_DELETED


class Viewer(msgspec.Struct, frozen=True):
    """Who is looking: a user id as text, and whether the user may view all tasks.

    ``expires_at`` is the Unix time at which the credential ends, or None.
    """

    user_id: str
    view_all: bool = False
    expires_at: float | None = None

    def sees(self, event: LogEvent) -> bool:
        """Tell whether ``event`` may reach this viewer: the same rule live and at replay."""
        if event.kind in TASK_KINDS:
            return self.view_all or self.user_id in (event.owner, event.previous_owner)
        return event.kind in BROADCAST_KINDS

    def loses(self, event: LogEvent) -> bool:
        """Tell whether ``event`` took the task away from this viewer, who may see it no longer."""
        return event.previous_owner == self.user_id and event.owner != self.user_id and not self.view_all


def rfc3339(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with ``Z``.

    Milliseconds, as JavaScript has no finer time: a client in either language reads the same instant.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def now() -> str:
    """Return the current time as RFC 3339."""
    return rfc3339(datetime.now(UTC))
