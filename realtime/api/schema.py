"""How a view is described in OpenAPI: what all answers have in common, said once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from realtime import exceptions
from realtime.api.serializers import Strict
from realtime.exceptions import Problem

T = TypeVar("T")

#: The codes of each status that any view may answer with; what is special to one it adds itself.
COMMON: dict[int, tuple[Problem, ...]] = {
    400: (exceptions.INVALID_JSON, exceptions.INVALID_BODY),
    401: (
        exceptions.NOT_AUTHENTICATED,
        exceptions.INVALID_TOKEN,
        exceptions.TOKEN_EXPIRED,
        exceptions.USER_INACTIVE,
        exceptions.REVOKED,
    ),
    403: (exceptions.FORBIDDEN, exceptions.CSRF_FAILED),
    404: (exceptions.NOT_FOUND,),
    406: (exceptions.NOT_ACCEPTABLE,),
    413: (exceptions.BODY_TOO_BIG,),
    415: (exceptions.UNSUPPORTED_MEDIA_TYPE,),
    429: (exceptions.THROTTLED,),
    503: (exceptions.UNAVAILABLE,),
}


class FieldProblem(serializers.Serializer[Any]):
    """What is wrong with one field."""

    code = serializers.CharField()
    message = serializers.CharField()


class Error(serializers.Serializer[Any]):
    """Every error of the API. `code` is for programs, `message` for people."""

    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField(
        child=serializers.ListField(child=FieldProblem()),
        required=False,
        help_text="By field or parameter; `body` for the whole.",
    )


def error(status: int, *problems: Problem) -> OpenApiResponse:
    """Return the description of an error's answer with these codes, or with those that any view has."""
    codes = " or ".join(f"`{problem.code}`" for problem in problems or COMMON[status])
    return OpenApiResponse(Error, description=f"`code` is {codes}.")


def describe(**options: Any) -> Callable[[T], T]:
    """Return drf-spectacular's ``extend_schema`` for a method, on top of :class:`Schema`."""
    decorator: Any = extend_schema(**options)

    def decorate(method: T) -> T:
        # Else it would build on the project's DEFAULT_SCHEMA_CLASS.
        vars(method).setdefault("kwargs", {"schema": Schema})
        decorated: T = decorator(method)
        return decorated

    return decorate


class Schema(AutoSchema):
    """Describes a view by what it says itself, and adds what every view may answer."""

    def get_override_parameters(self) -> list[Any]:
        """Return the task in the path, and the headers of errors (RFC 9110 §10.2.3, §11.6.1)."""
        of_task = [OpenApiParameter("task_id", UUID, OpenApiParameter.PATH)] if self._has_task else []
        return [
            *of_task,
            _header("Retry-After", int, (429, 503), "Seconds after which to come back."),
            _header("WWW-Authenticate", str, (401,), "`Bearer`."),
        ]

    def get_request_serializer(self) -> Any:
        """Return nothing: a view that takes a body says so itself."""
        return None

    def _get_response_bodies(self, direction: str = "response") -> dict[str, Any]:
        found: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._errors():
            if str(status) not in found:
                answer = error(status)
                found[str(status)] = self._get_response_for_code(answer, str(status), None, direction)
        return dict(sorted(found.items()))

    @property
    def _has_task(self) -> bool:
        return "{task_id}" in self.path

    def _errors(self) -> Iterator[int]:
        yield from (406, 429, 503)
        if self.view.authentication_classes:
            yield 401
            if self.method not in SAFE_METHODS:
                yield 403
        if self._has_task:
            yield 404
        if self.get_request_serializer() is not None:
            yield from (400, 413, 415)

    def _postprocess_serializer_schema(
        self, schema: dict[str, Any], serializer: Any, direction: str
    ) -> dict[str, Any]:
        found: dict[str, Any] = super()._postprocess_serializer_schema(schema, serializer, direction)
        if isinstance(serializer, Strict) or (
            isinstance(serializer, type) and issubclass(serializer, Strict)
        ):
            found["additionalProperties"] = False
        return found


def _header(name: str, kind: type, statuses: tuple[int, ...], description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, kind, OpenApiParameter.HEADER, response=list(statuses), description=description
    )


class _Bearer(OpenApiAuthenticationExtension):
    target_class = "realtime.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class _Cookie(OpenApiAuthenticationExtension):
    target_class = "realtime.api.authentication.CookieAuthentication"
    name = ["session", "csrf"]

    def get_security_requirement(self, auto_schema: Any) -> dict[str, list[str]]:
        safe = auto_schema.method in SAFE_METHODS
        return {"session": []} if safe else {"session": [], "csrf": []}

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
        return [
            {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
            {"type": "apiKey", "in": "header", "name": header.title().replace("Csrft", "CSRFT")},
        ]
