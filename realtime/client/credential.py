"""Who the client is: an access token, renewed in time with a refresh token, or a name and a password."""

from __future__ import annotations

import asyncio
import re

from realtime.client.errors import Denied
from realtime.client.http import Http
from realtime.exceptions import NOT_AUTHENTICATED

#: What a bearer token may consist of: RFC 6750 section 2.1.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


def _clean(token: str | None) -> str | None:
    """Return a token without the white space of the file that it was read from.

    Raises ``ValueError``, which does not show it, for what cannot be one.
    """
    token = (token or "").strip()
    if token and not _TOKEN.fullmatch(token):
        raise ValueError("A token has letters, digits and -._~+/ only; this is none.")
    return token or None


class Credential:
    """Shared by all that one client does; nothing of it is ever shown."""

    def __init__(
        self, token: str | None, refresh: str | None, username: str | None, password: str | None
    ) -> None:
        """Raise ``ValueError`` when there is nothing to come in with, or a token that is none."""
        token, refresh = _clean(token), _clean(refresh)
        if not (token or refresh or (username and password)):
            raise ValueError("A client needs a token, a refresh token, or a username and a password.")
        self._access, self._refresh = token, refresh
        self._login = {"username": username, "password": password} if username and password else None
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return "Credential(...)"

    @property
    def renewable(self) -> bool:
        """Whether a new token can be had without anybody's help."""
        return bool(self._refresh or self._login)

    async def token(self, http: Http, refused: str | None = None) -> str:
        """Return an access token, another one than ``refused`` if that can be had.

        Raises ``Denied`` when the server gives none, ``Unreachable`` when it cannot be asked.
        """
        async with self._one_at_a_time:
            # Who waited here may find that another one has renewed it.
            if self._access is None or (self._access == refused and self.renewable):
                self._access = await self._new(http)
            return self._access

    async def _new(self, http: Http) -> str:
        """Ask for a token: by the refresh token, or if that is refused by the password."""
        if self._refresh:
            try:
                given = await http.call("POST", "api/token/refresh/", json={"refresh": self._refresh})
                self._refresh = given.get("refresh", self._refresh)
                return str(given["access"])
            except Denied:
                self._refresh = None
                if self._login is None:
                    raise
        if self._login is None:
            raise Denied("The token has ended and there is nothing to renew it with.", NOT_AUTHENTICATED.code)
        given = await http.call("POST", "api/token/", json=self._login)
        self._refresh = given.get("refresh")
        return str(given["access"])
