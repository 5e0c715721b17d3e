"""The whole examination: from inside, and with an address from outside too."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime import database
from realtime.diagnosis import site, visitor
from realtime.diagnosis.findings import ERROR, Finding, found


def inside() -> list[Finding]:
    """Return what is wrong with settings, application, database and layer."""
    loaded, findings = site.application()
    findings += site.settings_findings()
    findings += site.database_findings()

    async def rest() -> list[Finding]:
        knocked = [] if loaded is None else await site.websocket_findings(loaded)
        return [*knocked, *await site.layer_findings()]

    findings += asyncio.run(rest())
    return findings


def outside(visit: Any, user: Any) -> list[Finding]:
    """Return what is wrong on the way to a public address; ``visit`` is a ``public.Visit``."""
    problems: list[Finding] = visit.address_findings()
    if any(problem.level == ERROR for problem in problems):
        return problems
    user = user or visitor.somebody()
    if user is None:
        return [*problems, found("no_user")]
    try:
        with visitor.visiting(user, visit.lifetime) as guest:
            return [*problems, *asyncio.run(visit.findings(guest))]
    finally:
        database.close()
