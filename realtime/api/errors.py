"""One shape for every error of the HTTP API: ``{code, message}``, and ``fields`` when it is about some."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback
from rest_framework_simplejwt.exceptions import TokenError

from realtime import metrics
from realtime.exceptions import (
    BODY_TOO_BIG,
    FORBIDDEN,
    INTERNAL,
    INVALID_BODY,
    INVALID_JSON,
    INVALID_PARAMETER,
    INVALID_TOKEN,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    NOT_AUTHENTICATED,
    NOT_FOUND,
    THROTTLED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    InvalidValue,
    Problem,
    RealtimeError,
)
from realtime.models.transitions import clean_text

logger = logging.getLogger("realtime.api")

#: What Django and REST framework raise, and what it is called here.
_PROBLEMS: dict[type[Exception], Problem] = {
    drf.ParseError: INVALID_JSON,
    drf.NotAuthenticated: NOT_AUTHENTICATED,
    drf.AuthenticationFailed: NOT_AUTHENTICATED,
    drf.PermissionDenied: FORBIDDEN,
    PermissionDenied: FORBIDDEN,
    drf.NotFound: NOT_FOUND,
    Http404: NOT_FOUND,
    # Gone between two looks at it.
    ObjectDoesNotExist: NOT_FOUND,
    RequestDataTooBig: BODY_TOO_BIG,
    # More parameters than DATA_UPLOAD_MAX_NUMBER_FIELDS.
    SuspiciousOperation: INVALID_PARAMETER,
    drf.MethodNotAllowed: METHOD_NOT_ALLOWED,
    drf.NotAcceptable: NOT_ACCEPTABLE,
    drf.UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE,
    drf.Throttled: THROTTLED,
    TokenError: INVALID_TOKEN,
    OperationalError: UNAVAILABLE,
    InterfaceError: UNAVAILABLE,
}
#: Seconds after which to come back, where the error does not know better.
RETRY_AFTER = 5


def body(problem: Problem, message: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the JSON of an error."""
    return {"code": problem.code, "message": message or problem.message, **more}


def headers(problem: Problem, wait: float | None = None) -> dict[str, str]:
    """Return the headers that go with an error's status (RFC 9110)."""
    found = {"Cache-Control": "no-store"}
    if problem.status == 401:
        found["WWW-Authenticate"] = "Bearer"
    if problem.status in (429, 503):
        found["Retry-After"] = str(max(1, round(wait or RETRY_AFTER)))
    return found


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Turn whatever a view raised into an answer; REST framework's ``EXCEPTION_HANDLER``."""
    # With ATOMIC_REQUESTS: an answer that says no must not be committed.
    set_rollback()
    if isinstance(error, drf.ValidationError):
        fields = _fields(error.get_full_details())
        name, problems = next(iter(fields.items()))
        where = "" if name == "body" else f"{name}: "
        return _respond(INVALID_BODY, f"{where}{problems[0]['message']}", fields=fields)
    if isinstance(error, RealtimeError):
        field = error.field if isinstance(error, InvalidValue) else None
        about = {clean_text(field): [body(error.problem, error.message)]} if field else None
        return _respond(error.problem, error.message, fields=about)
    for kind, problem in _PROBLEMS.items():
        if isinstance(error, kind):
            if problem is UNAVAILABLE:
                logger.warning("The database failed: %r", error)
            response = _respond(problem, wait=getattr(error, "wait", None))
            if isinstance(error, drf.MethodNotAllowed):
                response["Allow"] = ", ".join(context["view"].allowed_methods)
            return response
    logger.exception("A request failed.", exc_info=error)
    return _respond(INTERNAL)


def _respond(
    problem: Problem,
    message: str | None = None,
    wait: float | None = None,
    fields: dict[str, list[dict[str, Any]]] | None = None,
) -> Response:
    metrics.ERRORS.labels(problem.code, metrics.HTTP).inc()
    about = {"fields": fields} if fields else {}
    message = None if message is None else clean_text(message)
    return Response(body(problem, message, **about), problem.status, headers=headers(problem, wait))


def _fields(details: Any, path: str = "") -> dict[str, list[dict[str, str]]]:
    """Flatten REST framework's tree of errors: ``{"audience.group": [{code, message}]}``."""
    if isinstance(details, dict) and "message" in details and not isinstance(details["message"], dict | list):
        # What was sent may stand in it, also what no answer can be written with.
        message = clean_text(details["message"])
        return {path or "body": [{"code": str(details["code"]), "message": message}]}
    found: dict[str, list[dict[str, str]]] = {}
    pairs = details.items() if isinstance(details, dict) else ((None, item) for item in details)
    for key, value in pairs:
        name = path if key in (None, "non_field_errors") else f"{path}.{key}" if path else str(key)
        for where, problems in _fields(value, name).items():
            found.setdefault(where, []).extend(problems)
    return found
