"""Who is calling over HTTP: a bearer token, or the session cookie with Django's CSRF check."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, CSRFCheck, get_authorization_header
from rest_framework.request import Request

from realtime.auth import sessions, tokens
from realtime.auth.credentials import bearer_of
from realtime.auth.identity import fingerprint, viewer_of
from realtime.events import Credential, Viewer
from realtime.exceptions import CSRF_FAILED, Refused


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer`` (RFC 6750 §2.1). ``request.auth`` is the caller's ``Viewer``.

    Refuses tokens that were logged out, which simplejwt's own class does not. A project may use it for
    its own views.
    """

    def authenticate(self, request: Request) -> tuple[Any, Viewer] | None:
        """Return the user and the viewer; None without such a header. Raises ``Refused``."""
        raw = bearer_of(get_authorization_header(request).decode("latin-1"))
        if raw is None:
            return None
        token = tokens.validated(raw)
        user = tokens.user_of(token)
        credential = Credential(tokens.KIND, issued_at=tokens.issued_at(token), password=fingerprint(user))
        return user, viewer_of(user, credential, float(token["exp"]))

    def authenticate_header(self, request: Request) -> str:
        """Return what 401 answers in ``WWW-Authenticate``."""
        return "Bearer"


class CookieAuthentication(BaseAuthentication):
    """Django's session, with its CSRF check for every method that changes something."""

    def authenticate(self, request: Request) -> tuple[Any, Viewer] | None:
        """Return the user and the viewer; None when nobody is logged in. Raises ``Refused``."""
        http: HttpRequest = request._request
        user = getattr(http, "user", None)
        if user is None or not user.is_active:
            return None
        check = CSRFCheck(lambda _: None)
        check.process_request(http)
        if check.process_view(http, None, (), {}):
            raise Refused(CSRF_FAILED)
        key = http.session.session_key or ""
        return user, viewer_of(user, Credential(sessions.KIND, password=fingerprint(user), session=key))
