"""``GET /api/schema/``, the HTTP API in OpenAPI, and ``/asyncapi.json``, the streams in AsyncAPI; for all."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import get_script_prefix, reverse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.settings import patched_settings
from drf_spectacular.types import OpenApiTypes
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from realtime.api.base import RealtimeView
from realtime.api.schema import describe
from realtime.middleware import WEBSOCKET_PATH, WEBSOCKET_PATH_KEY
from realtime.protocol import asyncapi

#: What the project sets for its own API does not count here.
SETTINGS = {
    "TITLE": "Realtime tasks",
    "DESCRIPTION": "Live task status: the same tasks and events as over WebSocket and Server-Sent Events.",
    "VERSION": "1.0",
    "SCHEMA_PATH_PREFIX": "/api",
    "SERVERS": [],
    # No names for enumerations: several fields are called status.
    "POSTPROCESSING_HOOKS": [],
}
_turn = threading.Lock()


class Description(RealtimeView):
    """The description of this API."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer2,
        OpenApiYamlRenderer,
    )

    @describe(operation_id="get_schema", responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        """Read this description, as JSON or YAML."""
        return Response(document())


def document() -> dict[str, Any]:
    """Return the OpenAPI document of ``realtime.urls``, made once."""
    with _turn:
        return _document()


@cache
def _document() -> dict[str, Any]:
    with patched_settings(SETTINGS):
        found: dict[str, Any] = SchemaGenerator(urlconf="realtime.urls").get_schema(request=None, public=True)
    return found


@require_safe
def streams(request: HttpRequest) -> HttpResponse:
    """Answer with the AsyncAPI document of this site, as it was reached."""
    path: str = getattr(request, "scope", {}).get(WEBSOCKET_PATH_KEY, WEBSOCKET_PATH)
    found = asyncapi.document(
        request.get_host(),
        request.is_secure(),
        get_script_prefix().rstrip("/") + path,
        reverse("realtime:events"),
    )
    return HttpResponse(msgspec.json.encode(found), content_type="application/json")
