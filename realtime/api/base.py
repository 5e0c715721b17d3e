"""What all views of the HTTP API share; none of it depends on the project's own settings for DRF."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime.api.authentication import BearerAuthentication, CookieAuthentication
from realtime.api.errors import handle
from realtime.api.parsers import LimitedJSONParser
from realtime.api.schema import Schema
from realtime.api.throttling import Throttle
from realtime.events import Viewer


class BodyRequest(Request):
    """A request whose body counts also when no header says how long it is."""

    def _load_stream(self) -> None:
        super()._load_stream()
        if vars(self)["_stream"] is None and "CONTENT_LENGTH" not in self._request.META:
            # REST framework takes a chunked body (RFC 9112 §7.1) for none at all.
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            raw = self._request.read(-1 if limit is None else limit + 1)
            self._stream = BytesIO(raw) if raw else None


class Negotiation(DefaultContentNegotiation):
    """By the ``Accept`` header only: ``?format=`` is an unknown parameter like any other."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)


class RealtimeView(APIView):
    """A view for those who are logged in, with JSON in and out, throttled, and errors in one shape."""

    authentication_classes: tuple[type, ...] = (BearerAuthentication, CookieAuthentication)
    permission_classes: tuple[type, ...] = (IsAuthenticated,)
    renderer_classes: tuple[type, ...] = (JSONRenderer,)
    parser_classes = (LimitedJSONParser,)
    throttle_classes = (Throttle,)
    throttle_scope = "realtime-api"
    content_negotiation_class = Negotiation
    versioning_class = None
    schema = Schema()
    http_method_names = ("get", "post", "put", "patch", "delete", "head")

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return REST framework's view of the request."""
        return BodyRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """Return ours, whatever ``EXCEPTION_HANDLER`` the project has chosen."""
        return handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let nobody keep an answer that is one user's, or take it for anything but JSON."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers.setdefault("X-Content-Type-Options", "nosniff")
        return answer


def viewer(request: Request) -> Viewer:
    """Return who is calling."""
    found: Viewer = request.auth
    return found
