"""Finds the credential of a connection in its ASGI scope, and takes it out of where it might be logged.

In this order: ``Authorization: Bearer`` (RFC 6750 §2.1); the WebSocket subprotocols ``bearer``, ``<jwt>``;
``?ticket=``; ``?token=``; the Django session cookie. The first that is there counts, good or bad.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from django.conf import settings
from django.http import parse_cookie

from realtime.conf import conf
from realtime.exceptions import INVALID_TOKEN, NOT_AUTHENTICATED, Refused

Scope = dict[str, Any]

#: Where the guard (``middleware.py``) puts the credentials that it took out of the scope.
CREDENTIALS_KEY = "realtime.credentials"
#: Names in a query string, and the subprotocol that says a token follows.
IN_QUERY = ("ticket", "token")
BEARER = "bearer"

TOKEN, TICKET, SESSION = "token", "ticket", "session"


class Presented(NamedTuple):
    """A credential as it came: its kind and its text."""

    kind: str
    value: str

    def __repr__(self) -> str:
        return f"Presented({self.kind})"


def hide(scope: Scope) -> None:
    """Take tickets and tokens out of the query string and the subprotocols, in place, and keep them.

    Servers write the scope's query string to their access logs when the response begins (uvicorn
    however it is started); Django puts it on its error pages, others the headers. Safe to call twice.
    """
    if CREDENTIALS_KEY not in scope and (found := _out_of_query(scope) | _out_of_subprotocols(scope)):
        scope[CREDENTIALS_KEY] = found


def _out_of_query(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    kept = []
    query = scope.get("query_string") or b""
    # Text in the scopes of Django's own test client.
    for part in (query.encode() if isinstance(query, str) else query).split(b"&"):
        name, _, value = part.partition(b"=")
        if (plain := unquote_plus(name.decode("latin-1"))) in IN_QUERY:
            # The last counts, as in Django's query strings.
            found[plain] = unquote_plus(value.decode("latin-1"))
        else:
            kept.append(part)
    if found:
        scope["query_string"] = b"&".join(kept)
    return found


def _out_of_subprotocols(scope: Scope) -> dict[str, str]:
    offered = scope.get("subprotocols") or []
    if BEARER not in offered:
        return {}
    place = offered.index(BEARER) + 1
    token, scope["subprotocols"] = "".join(offered[place : place + 1]), offered[:place] + offered[place + 1 :]
    line = ", ".join(scope["subprotocols"]).encode("latin-1", "replace")
    scope["headers"] = [
        (name, line if name == b"sec-websocket-protocol" else value) for name, value in scope["headers"]
    ]
    return {BEARER: token}


def find(scope: Scope) -> Presented:
    """Return the credential of a scope, hidden from then on. Raises ``Refused`` when there is none."""
    hide(scope)
    if (token := _from_header(scope)) is not None:
        return Presented(TOKEN, token)
    hidden: dict[str, str] = scope.get(CREDENTIALS_KEY, {})
    if BEARER in hidden:
        return Presented(TOKEN, hidden[BEARER])
    if "ticket" in hidden:
        return Presented(TICKET, hidden["ticket"])
    if "token" in hidden:
        if not conf.QUERY_TOKEN:
            raise Refused(INVALID_TOKEN, "This site takes no token in a URL; ask for a ticket.")
        return Presented(TOKEN, hidden["token"])
    if key := _session_key(scope):
        return Presented(SESSION, key)
    raise Refused(NOT_AUTHENTICATED)


def header(scope: Scope, name: bytes) -> str | None:
    """Return a header's value, or None; ``name`` in small letters."""
    for other, value in scope.get("headers", []):
        if other == name:
            return str(value.decode("latin-1"))
    return None


def bearer_of(authorization: str) -> str | None:
    """Return the token of an ``Authorization`` header, "" when it forgot it; None for another scheme."""
    scheme, *rest = authorization.split(None, 1) or [""]
    return "".join(rest).strip() if scheme.lower() == BEARER else None


def _from_header(scope: Scope) -> str | None:
    return bearer_of(header(scope, b"authorization") or "")


def _session_key(scope: Scope) -> str | None:
    lines = [value.decode("latin-1") for name, value in scope.get("headers", []) if name == b"cookie"]
    return parse_cookie("; ".join(lines)).get(settings.SESSION_COOKIE_NAME)
