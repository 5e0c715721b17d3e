"""The HTTP half: one request, one answer, one kind of error; and where everything is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx

from realtime.client.errors import Denied, NotFound, Unreachable
from realtime.exceptions import NOT_FOUND

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses of a site, below ``url``: ``https://example.com`` or ``https://example.com/app``."""

    base: str
    socket: str

    @classmethod
    def of(cls, url: str) -> Places:
        """Raise ``ValueError`` for what is no address of a site, or holds a password."""
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES or not parts.hostname:
            raise ValueError("The address of a site begins with https:// or http:// and a host.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("The address of a site has no user, query or fragment: pass credentials apart.")
        path = parts.path.rstrip("/") + "/"
        ws = _SCHEMES[parts.scheme]
        web = "https" if ws == "wss" else "http"
        return cls(
            urlunsplit((web, parts.netloc, path, "", "")), urlunsplit((ws, parts.netloc, f"{path}ws", "", ""))
        )


def parameter(reference: str, name: str) -> str:
    """Return the value that a reference's query string has for ``name``."""
    return parse_qs(urlsplit(reference).query)[name][0]


class Http:
    """Requests of one client; close it."""

    def __init__(self, base: str, deadline: float, context: ssl.SSLContext | None = None) -> None:
        self._deadline = deadline
        self._client = httpx.AsyncClient(base_url=base, timeout=deadline, verify=context or True)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return what its JSON says, None for an empty answer.

        Raises ``Denied`` or ``NotFound`` with the server's code, and ``Unreachable`` for what may be
        otherwise in a moment: no answer, 429, 5xx, or an answer that is not ours.
        """
        credential = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._client.request(
                    method, path, json=json, params=params, headers=credential | dict(headers or {})
                )
        except TimeoutError:
            raise Unreachable(f"No answer within {self._deadline} s.") from None
        except httpx.HTTPError as error:
            # Not the error itself: it holds the request, and that the token.
            raise Unreachable(f"The server cannot be reached: {type(error).__name__}.") from None
        return _read(answer)


def _read(answer: httpx.Response) -> Any:
    try:
        body = answer.json() if answer.content else None
    except ValueError:
        body = None
    if answer.is_success and (body is not None or not answer.content):
        return body
    said = body if isinstance(body, dict) else {}
    message = str(said.get("message", f"The server answered {answer.status_code}."))
    code = said.get("code")
    busy = answer.status_code == 429 or answer.status_code >= 500
    if busy or code is None:
        wait = answer.headers.get("Retry-After", "")
        raise Unreachable(message, code, float(wait) if wait.isdigit() else None, foreign=not busy)
    raise (NotFound if code == NOT_FOUND.code else Denied)(message, code)
