"""Values of the log: an event, who may see it, and how times are written. Pure, no Django."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

TASK_UPDATE = "task_update"
TASK_DELETED = "task_deleted"
#: A line of a task's log. It changes nothing, so it has no version.
TASK_LOG = "task_log"
BROADCAST = "broadcast"
BROADCAST_RETRACTED = "broadcast_retracted"
#: An event of one of the project's own topics; in ``data`` its ``event``, ``data`` and perhaps ``audience``.
TOPIC_EVENT = "topic_event"
#: Internal: rights of the user in ``owner`` may have changed ("" means anybody's). No client sees it.
USER_CHANGED = "user_changed"
#: Internal: the connection in ``data`` of the user in ``owner`` is to be closed, wherever it is served.
CONNECTION_CLOSED = "connection_closed"

#: Changes of a task; and all that is addressed to those who may see it.
TASK_KINDS = frozenset({TASK_UPDATE, TASK_DELETED})
OF_TASKS = TASK_KINDS | {TASK_LOG}
BROADCAST_KINDS = frozenset({BROADCAST, BROADCAST_RETRACTED})
#: What carries its audience with it.
AUDIENCE_KINDS = BROADCAST_KINDS | {TOPIC_EVENT}
INTERNAL_KINDS = frozenset({USER_CHANGED, CONNECTION_CLOSED})
KINDS = OF_TASKS | AUDIENCE_KINDS | INTERNAL_KINDS

PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = (
    "pending",
    "running",
    "completed",
    "failed",
    "cancelled",
)
STATUSES = (PENDING, RUNNING, COMPLETED, FAILED, CANCELLED)
FINAL = frozenset({COMPLETED, FAILED, CANCELLED})

#: How serious a line is, by Python's names.
LINE_LEVELS = ("debug", "info", "warning", "error")

EVERYONE, STAFF, GROUP, USERS = "everyone", "staff", "group", "users"
AUDIENCES = (EVERYONE, STAFF, GROUP, USERS)


class LogEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable fact with its place in the log.

    ``position`` is 0 until the log has given one. ``owner`` and ``previous_owner`` are user ids as
    text, "" for nobody. ``timestamp`` is RFC 3339, UTC, with ``Z``. ``topic`` is that of a topic event.
    ``unreadable`` says that what it tells is lost: its place is known and ``data`` is empty.
    """

    position: int
    kind: str
    timestamp: str
    task_id: str = ""
    owner: str = ""
    previous_owner: str = ""
    version: int = 0
    data: dict[str, Any] = {}
    topic: str = ""
    unreadable: bool = False

    @property
    def final(self) -> bool:
        """Whether nothing of the task follows: its last status, or its deletion."""
        if self.kind == TASK_UPDATE:
            return self.data.get("status") in FINAL
        return self.kind == TASK_DELETED


class Credential(msgspec.Struct, frozen=True):
    """How a viewer came in: what must stay true for the connection to stay open.

    ``kind`` is ``token`` or ``session``. ``issued_at`` is the Unix time at which the user proved who he
    is; ``password`` a fingerprint of the password then; ``session`` the key of a Django session.
    """

    kind: str
    issued_at: float = 0.0
    password: str = ""
    session: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


class Viewer(msgspec.Struct, frozen=True):
    """Who is looking: a user id as text, what the user may see, and to which audiences he belongs.

    ``expires_at`` is the Unix time at which the credential ends, or None. ``groups`` are group ids as
    text.
    """

    user_id: str
    view_all: bool = False
    expires_at: float | None = None
    staff: bool = False
    groups: frozenset[str] = frozenset()
    credential: Credential | None = None

    def sees(self, event: LogEvent) -> bool:
        """Tell whether ``event`` may reach this viewer: the same rule live and at replay.

        Who is subscribed to a topic has been let in; here it is asked whether the event is for him.
        """
        if event.kind in OF_TASKS:
            return self.view_all or self.user_id in (event.owner, event.previous_owner)
        return event.kind in AUDIENCE_KINDS and self.is_in(event.data.get("audience") or {})

    def is_in(self, audience: dict[str, Any]) -> bool:
        """Tell whether this viewer is in an event's audience; one without a kind is everyone."""
        match audience.get("kind", EVERYONE):
            case "everyone":
                return True
            case "staff":
                return self.staff
            case "group":
                return audience.get("group") in self.groups
            case "users":
                return self.user_id in audience.get("users", ())
        return False

    def loses(self, event: LogEvent) -> bool:
        """Tell whether ``event`` took the task away from this viewer, who may see it no longer."""
        return event.previous_owner == self.user_id and event.owner != self.user_id and not self.view_all


def with_audience(event: LogEvent) -> LogEvent:
    """Return an event whose named users are a set: every connection is looked up in it."""
    audience = event.data.get("audience") if event.kind in AUDIENCE_KINDS else None
    if not audience or USERS not in audience:
        return event
    named = {**audience, USERS: frozenset(audience[USERS])}
    return msgspec.structs.replace(event, data={**event.data, "audience": named})


def is_tellable(kind: str, data: object) -> bool:
    """Tell whether an event may hold this ``data``: an object, with an audience that can be looked up in."""
    if not isinstance(data, dict):
        return False
    audience = data.get("audience") if kind in AUDIENCE_KINDS else None
    if audience is None:
        return True
    named = audience.get(USERS, []) if isinstance(audience, dict) else None
    return isinstance(named, list) and all(isinstance(user, str) for user in named)


def rfc3339(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with ``Z``.

    Milliseconds, as JavaScript has no finer time: a client in either language reads the same instant.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def now() -> str:
    """Return the current time as RFC 3339."""
    return rfc3339(datetime.now(UTC))
