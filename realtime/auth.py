"""Who is calling: finds the credential of a connection and verifies it. No downgrade to anonymous."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import (
    AuthenticationFailed,
    ExpiredTokenError,
    TokenError,
)
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import Token

from realtime import database
from realtime.conf import conf
from realtime.events import Viewer
from realtime.exceptions import (
    INVALID_TOKEN,
    NOT_AUTHENTICATED,
    TOKEN_EXPIRED,
    USER_INACTIVE,
    Refused,
)
from realtime.permissions import may_view_all

#: Where the guard (``middleware.py``) puts a token that came in the URL.
TOKEN_KEY = "realtime.token"  # noqa: S105 (a key, not a token)


def find_token(scope: dict[str, Any]) -> str:
    """Return the access token of an ASGI scope: the ``Authorization`` header, else ``?token=``.

    Raises ``Refused`` when there is none. A header that is there and bad never falls through.
    """
    headers: list[tuple[bytes, bytes]] = scope.get("headers", [])
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
    if conf.QUERY_TOKEN:
        if hidden := scope.get(TOKEN_KEY):
            return str(hidden)
        raw: bytes = scope.get("query_string", b"")
        query = parse_qs(raw.decode("latin-1"))
        if "token" in query:
            return query["token"][-1]
    raise Refused(NOT_AUTHENTICATED)


def verify(token: str) -> Viewer:
    """Return who the token stands for. Reads the database.

    Raises ``Refused`` for a token that is malformed, expired, of the wrong type, signed by another
    key, or of a user who is unknown or inactive.
    """
    validated = _validated(token)
    try:
        user = JWTAuthentication().get_user(validated)
    except AuthenticationFailed as error:
        inactive = "inactive" in str(getattr(error, "detail", {}).get("code", ""))
        raise Refused(USER_INACTIVE if inactive else INVALID_TOKEN) from None
    except (TokenError, ValueError, TypeError):
        raise Refused(INVALID_TOKEN) from None
    return Viewer(user_id=str(user.pk), view_all=may_view_all(user), expires_at=float(validated["exp"]))


def _validated(token: str) -> Token:
    expired = False
    for token_class in api_settings.AUTH_TOKEN_CLASSES:
        try:
            validated: Token = token_class(token.encode())
            return validated
        except ExpiredTokenError:
            expired = True
        except (TokenError, UnicodeError):
            continue
    raise Refused(TOKEN_EXPIRED if expired else INVALID_TOKEN)


async def authenticate(scope: dict[str, Any]) -> Viewer:
    """Return who opened this connection; raises ``Refused``, and what the database raises."""
    return await database.run(verify, find_token(scope))


async def verified(token: str) -> Viewer | Refused:
    """Return who the token stands for, or why it was refused; raises what the database raises."""
    try:
        return await database.run(verify, token)
    except Refused as refused:
        return refused
