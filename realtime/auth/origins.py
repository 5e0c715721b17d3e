"""The Origin rule: which pages may use a browser's session cookie (RFC 6454; cross-site WebSocket hijacking).

It binds only the cookie, which a browser sends by itself; a token has to be known by who sends it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from realtime.auth.credentials import Scope, header
from realtime.conf import conf
from realtime.exceptions import ORIGIN_NOT_ALLOWED, Refused

#: What ``Sec-Fetch-Site`` says of a request that no other site has caused.
OWN = ("same-origin", "none")
PORTS = {"http": 80, "https": 443}
#: What Django allows with ``DEBUG`` and no ``ALLOWED_HOSTS``.
_LOOPBACK = (".localhost", "127.0.0.1", "[::1]")


def check(scope: Scope) -> None:
    """Raise ``Refused`` unless the page that opened this connection may use the session cookie.

    A browser sends no ``Origin`` for an ``EventSource`` of the same origin, but ``Sec-Fetch-Site``;
    a client that sends neither is no browser, and brings a token.
    """
    origin = header(scope, b"origin")
    if origin is None:
        if scope["type"] == "http" and header(scope, b"sec-fetch-site") in OWN:
            return
        raise Refused(ORIGIN_NOT_ALLOWED, "The session cookie needs an Origin header.")
    origin, allowed = origin.lower(), [each.lower() for each in conf.ALLOWED_ORIGINS]
    if origin in allowed or (not allowed and _is_own(origin, scope)):
        return
    raise Refused(ORIGIN_NOT_ALLOWED)


def is_origin(text: str) -> bool:
    """Tell whether ``text`` is an origin as browsers write it: ``scheme://host[:port]`` (RFC 6454 §6.2)."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = f"{parts.scheme}://{parts.netloc}"
    return (
        parts.scheme in PORTS
        and text.lower() == plain.lower()
        and bool(parts.hostname)
        and not set("@*, \t") & set(text)
        # A browser leaves the usual port out: with it, an entry would match nothing.
        and port != PORTS[parts.scheme]
        and not text.endswith(":")
    )


def is_own_host(netloc: str) -> bool:
    """Tell whether a host, with or without a port, is one that this site answers for, as Django does."""
    name, _ = split_domain_port(netloc.lower())
    allowed = settings.ALLOWED_HOSTS or (_LOOPBACK if settings.DEBUG else ())
    return bool(name) and validate_host(name, allowed)


def _is_own(origin: str, scope: Scope) -> bool:
    """Tell whether a page of ``origin`` is of the host that was asked, which must be one of the site's."""
    forwarded = header(scope, b"x-forwarded-host") if settings.USE_X_FORWARDED_HOST else None
    host = (forwarded or header(scope, b"host") or "").lower()
    if not is_origin(origin) or not is_own_host(host):
        return False
    name, port = split_domain_port(host)
    page = urlsplit(origin)
    if page.scheme == "http" and _is_secure(scope):
        # Who can change what comes without TLS must not reach what has it.
        return False
    usual = PORTS[page.scheme]
    own_port = int(port) if port else usual
    return page.hostname == name.strip("[]") and (page.port or usual) == own_port


def _is_secure(scope: Scope) -> bool:
    """Tell whether the site is known to be reached over TLS; a proxy that ends it may not say so."""
    if scope.get("scheme") in ("https", "wss") or settings.SESSION_COOKIE_SECURE:
        return True
    if settings.SECURE_PROXY_SSL_HEADER is None:
        return False
    name, value = settings.SECURE_PROXY_SSL_HEADER
    said = header(scope, name.removeprefix("HTTP_").replace("_", "-").lower().encode())
    return said is not None and said.split(",")[0].strip() == value
