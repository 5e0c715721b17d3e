"""Every error and close code: its code, message, HTTP status, close code and retry rule.

RealtimeError
├── ProtocolError        what a client sent cannot be served; the connection stays open
├── Refused              the caller may not come in, or may not stay
├── IllegalTransition    a task cannot go from this status to that one
├── TaskCancelled        somebody asked this task to stop; raised in its worker
├── KeyConflict          an idempotency key that was used for another broadcast
└── InvalidValue         a value that cannot be stored or sent
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Retry(StrEnum):
    """What a client does after an error or a close."""

    NEVER = "never"
    NEW_CREDENTIALS = "new_credentials"
    WITH_CURSOR = "with_cursor"
    BACK_OFF = "back_off"
    JITTERED = "jittered"


#: WebSocket close codes we send (RFC 6455 §7.4.2: 4000-4999 are private) and what a client then does.
CLOSE_CODES: dict[int, tuple[str, Retry]] = {
    1000: ("normal", Retry.NEVER),
    4400: ("too many bad messages", Retry.NEVER),
    4401: ("unauthenticated or expired", Retry.NEW_CREDENTIALS),
    4403: ("forbidden", Retry.NEVER),
    4410: ("slow consumer", Retry.WITH_CURSOR),
    4413: ("message too big", Retry.NEVER),
    4429: ("limit reached", Retry.BACK_OFF),
    4500: ("internal error", Retry.BACK_OFF),
    4503: ("restarting", Retry.JITTERED),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that can go wrong, as every door tells it."""

    code: str
    message: str
    status: int = 400
    close_code: int | None = None

    @property
    def retry(self) -> Retry:
        """What the client does next; a problem that closes nothing is not retried."""
        return CLOSE_CODES[self.close_code][1] if self.close_code else Retry.NEVER


NOT_AUTHENTICATED = Problem("not_authenticated", "Credentials are required.", 401, 4401)
INVALID_CREDENTIALS = Problem("invalid_credentials", "No active account has this name and password.", 401)
INVALID_TOKEN = Problem("invalid_token", "The token is not valid.", 401, 4401)
TOKEN_EXPIRED = Problem("token_expired", "The token has expired.", 401, 4401)
USER_INACTIVE = Problem("user_inactive", "The user is no longer active.", 401, 4401)
REVOKED = Problem("revoked", "The credential has been revoked.", 401, 4401)
INVALID_TICKET = Problem("invalid_ticket", "The ticket is unknown, used or expired.", 401, 4401)
ORIGIN_NOT_ALLOWED = Problem(
    "origin_not_allowed", "Pages of this origin may not use the session cookie.", 403, 4403
)
RIGHTS_CHANGED = Problem("rights_changed", "Your rights have changed; come back.", 401, 4401)
DISCONNECTED = Problem("disconnected", "An administrator has closed this connection.", 403, 4403)
WRONG_USER = Problem("wrong_user", "The token belongs to another user.", 401)
FORBIDDEN = Problem("forbidden", "You may not do this.", 403)
NOT_FOUND = Problem("not_found", "No such task.", 404)
INVALID_JSON = Problem("invalid_json", "The message is not JSON.")
INVALID_MSGPACK = Problem("invalid_msgpack", "The message is not MessagePack.")
INVALID_MESSAGE = Problem("invalid_message", "The message is not valid.")
INVALID_PARAMETER = Problem("invalid_parameter", "A parameter is not valid.")
UNKNOWN_ACTION = Problem("unknown_action", "Unknown action.")
UNKNOWN_TOPIC = Problem("unknown_topic", "Unknown topic.")
UNSUPPORTED_FRAME = Problem("unsupported_frame", "Frames are text, or binary with realtime.msgpack.")
INVALID_BODY = Problem("invalid_body", "The body is not valid.")
UNSUPPORTED_MEDIA_TYPE = Problem("unsupported_media_type", "The body must be application/json.", 415)
NOT_ACCEPTABLE = Problem("not_acceptable", "Answers are application/json.", 406)
CSRF_FAILED = Problem("csrf_failed", "With the session cookie, the X-CSRFToken header is required.", 403)
LATE_RESUME = Problem("late_resume", "Only a connection's first subscribe may resume.", 409)
TOO_MANY_SUBSCRIPTIONS = Problem("too_many_subscriptions", "Too many subscriptions.", 429)
TOO_MANY_PENDING = Problem("too_many_pending", "Too many messages wait to be served.", 429)
RATE_LIMITED = Problem("rate_limited", "You send too fast; this message was not served.", 429)
TOO_MANY_MESSAGES = Problem("too_many_messages", "You go on sending too fast.", 429, 4429)
TOO_MANY_CONNECTIONS = Problem("too_many_connections", "Too many connections.", 429, 4429)
TOO_MANY_BAD_MESSAGES = Problem("too_many_bad_messages", "Too many bad messages.", 400, 4400)
BODY_TOO_BIG = Problem("body_too_big", "The body is too big.", 413)
THROTTLED = Problem("throttled", "Too many requests; come back later.", 429)
IDEMPOTENCY_CONFLICT = Problem(
    "idempotency_conflict", "This idempotency key was used for another broadcast.", 409
)
ILLEGAL_TRANSITION = Problem("illegal_transition", "The task's status does not allow this change.", 409)
TASK_CANCELLED = Problem("task_cancelled", "The task was cancelled.", 409)
INVALID_VALUE = Problem("invalid_value", "The value is not valid.")
MESSAGE_TOO_BIG = Problem("message_too_big", "The message is too big.", 413, 4413)
METHOD_NOT_ALLOWED = Problem("method_not_allowed", "This method is not allowed here.", 405)
SLOW_CONSUMER = Problem("slow_consumer", "You read too slowly; come back with your cursor.", 503, 4410)
ASGI_REQUIRED = Problem("asgi_required", "Streams need an ASGI server, not WSGI.", 501)
INTERNAL = Problem("internal", "Something went wrong on our side.", 500, 4500)
RESTARTING = Problem("restarting", "This server is restarting; come back.", 503, 4503)
UNAVAILABLE = Problem("unavailable", "The event log cannot be reached.", 503, 4500)


class RealtimeError(Exception):
    """The root: carries a :class:`Problem` and, when there is more to say, a message of its own."""

    problem: Problem = INTERNAL

    def __init__(self, problem: Problem | None = None, message: str | None = None) -> None:
        self.problem = problem or type(self).problem
        self.message = message or self.problem.message
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel whole between processes, as a queue's result or out of a pool."""
        return type(self), (self.problem, self.message), self.__dict__


class ProtocolError(RealtimeError):
    """A client's message that cannot be served; answered by ``error``, the socket stays open."""

    problem = INVALID_MESSAGE

    def __init__(
        self,
        problem: Problem | None = None,
        message: str | None = None,
        request_id: str | int | None = None,
    ) -> None:
        super().__init__(problem, message)
        self.request_id = request_id


class Refused(RealtimeError):
    """The caller may not come in, or may not stay: an HTTP status, or ``error`` and a close."""

    problem = NOT_AUTHENTICATED


class IllegalTransition(RealtimeError):
    """A change the task's status does not allow; nothing was changed."""

    problem = ILLEGAL_TRANSITION


class TaskCancelled(RealtimeError):
    """Raised in a worker by the first report it writes after somebody cancelled its task."""

    problem = TASK_CANCELLED


class KeyConflict(RealtimeError):
    """An idempotency key that was used for something else; nothing was sent."""

    problem = IDEMPOTENCY_CONFLICT


class InvalidValue(RealtimeError, ValueError):
    """A value that no client could be sent, such as NaN in a result; ``field`` names it if known."""

    problem = INVALID_VALUE

    def __init__(
        self, problem: Problem | None = None, message: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(problem, message)
        self.field = field
