"""From a connection to its viewer, whatever credential it brought."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime import database
from realtime.auth import credentials, origins, sessions, tickets, tokens
from realtime.events import Viewer
from realtime.exceptions import Refused

_VERIFY: dict[str, Callable[[str], Viewer]] = {
    credentials.TOKEN: tokens.verify,
    credentials.TICKET: tickets.redeem,
    credentials.SESSION: sessions.verify,
}


async def authenticate(scope: dict[str, Any]) -> Viewer:
    """Return who opened this connection; raises ``Refused``, and what the database raises."""
    bearer = credentials.find(scope)
    if bearer.kind == credentials.SESSION:
        origins.check(scope)
    return await database.run(_VERIFY[bearer.kind], bearer.value)


async def verified(token: str) -> Viewer | Refused:
    """Return who the token stands for, or why it was refused; raises what the database raises."""
    try:
        return await database.run(tokens.verify, token)
    except Refused as refused:
        return refused
