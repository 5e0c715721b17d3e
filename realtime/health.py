"""``/healthz``: is this process alive. ``/readyz``: should it be sent clients, and if not, why.

Only what keeps events from clients makes a process unready: its database is away, its hub stands still
behind the log, or it is about to end. A dead channel layer does not, since the log carries: that is
``degraded``. No text of an exception is shown: it may name hosts and users.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from realtime import database, log
from realtime.atomicity import outside_transactions
from realtime.conf import conf
from realtime.ear import AWAY
from realtime.exceptions import ASGI_REQUIRED, Refused
from realtime.hub import Hub
from realtime.limits import places
from realtime.process import current_hub
from realtime.views import problem_response

logger = logging.getLogger("realtime.health")

#: Seconds after which an answer is given, whatever hangs.
DEADLINE = 2.0
#: How long a hub may be behind the log without a step forward, in checks of the log.
PATIENCE = 5
#: Seconds that a hub which has been behind for so long is watched for a step.
WATCH = 0.5

HEADERS = {"Cache-Control": "no-store"}

READY, DEGRADED, UNREADY = "ready", "degraded", "unready"


@dataclass(slots=True)
class Check:
    """What is known of one dependency."""

    status: str = "ok"
    #: Why the process is not fully ready, for people; empty when this is no reason.
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@outside_transactions
@require_safe
async def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as this process answers at all; asks nobody."""
    return JsonResponse({"status": "alive"}, headers=HEADERS)


@outside_transactions
@require_safe
async def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200, ready or degraded, or 503; with the reasons, and what is known of each dependency."""
    if getattr(request, "scope", None) is None:
        return problem_response(Refused(ASGI_REQUIRED))
    deadline = asyncio.get_running_loop().time() + DEADLINE
    head, the_hub = await asyncio.gather(_head(deadline), _hub(deadline))
    checks = {
        "database": _database(head),
        "log": await _log(the_hub, head, deadline),
        "layer": _layer(the_hub),
        "drain": _drain(),
    }
    statuses = {check.status for check in checks.values()}
    status = UNREADY if UNREADY in statuses else DEGRADED if DEGRADED in statuses else READY
    answer = {
        "status": status,
        "reasons": {name: check.reason for name, check in checks.items() if check.reason},
        "node": str(the_hub.presence.id) if the_hub is not None else None,
        **{name: {"status": check.status, **check.facts} for name, check in checks.items()},
    }
    return JsonResponse(answer, status=503 if status == UNREADY else 200, headers=HEADERS)


# -- looking ----------------------------------------------------------------------------------

_flight: asyncio.Task[log.Head | None] | None = None


async def _head(deadline: float) -> tuple[log.Head | Exception | None, float]:
    """Return the log's ends, or what went wrong, and the seconds it took.

    One query at a time for all who ask, however long it hangs.
    """
    global _flight
    loop = asyncio.get_running_loop()
    begin = loop.time()
    if _flight is None or _flight.done() or _flight.get_loop() is not loop:
        # A context of its own: it outlives the request that happened to start it.
        _flight = loop.create_task(database.run_now(log.read_head), context=contextvars.Context())
        _flight.add_done_callback(_seen)
    found: log.Head | Exception | None
    try:
        async with asyncio.timeout_at(deadline):
            found = await asyncio.shield(_flight)
    except Exception as error:
        found = error
    return found, loop.time() - begin


def _seen(flight: asyncio.Task[log.Head | None]) -> None:
    """Look at how it ended, though whoever asked may have gone."""
    if not flight.cancelled() and (error := flight.exception()) is not None:
        logger.debug("The head of the log could not be read: %r", error)


async def _hub(deadline: float) -> Hub | None:
    """Return the hub; a fresh process becomes ready by being asked. None when it has not started in time."""
    try:
        async with asyncio.timeout_at(deadline):
            return await current_hub()
    except Exception as error:
        logger.debug("The hub has not started: %r", error)
        return None


# -- judging ----------------------------------------------------------------------------------


def _database(head: tuple[log.Head | Exception | None, float]) -> Check:
    found, seconds = head
    if isinstance(found, TimeoutError):
        return Check(UNREADY, "The database does not answer.")
    if isinstance(found, Exception):
        return Check(UNREADY, "The database cannot be reached or read.")
    return Check(facts={"ms": round(seconds * 1000, 1)})


async def _log(
    the_hub: Hub | None, head: tuple[log.Head | Exception | None, float], deadline: float
) -> Check:
    """Judge the hub's place: behind is nothing, standing still behind is."""
    if the_hub is None:
        return Check(UNREADY, "The hub has not started.", {"position": None, "head": None})
    clock = asyncio.get_running_loop().time
    mine = the_hub.position
    last = head[0].position if isinstance(head[0], log.Head) else None
    facts: dict[str, Any] = {"position": mine, "head": last}
    if last is None or last <= mine:
        return Check(facts=facts)
    seconds = clock() - the_hub.level_at
    facts["behind_seconds"] = round(seconds, 1)
    if seconds < PATIENCE * conf.LOG_CHECK_INTERVAL:
        return Check(facts=facts)
    await asyncio.sleep(max(0.0, min(WATCH, deadline - clock())))
    if the_hub.position != mine:
        return Check(facts=facts)
    return Check(UNREADY, "The hub stands still behind the head of the log.", facts)


def _layer(the_hub: Hub | None) -> Check:
    if the_hub is None or the_hub.ear.layer is None:
        return Check("off" if the_hub is not None else "unknown")
    ear = the_hub.ear
    joined = ear.joined.is_set()
    trip = None if ear.round_trip is None else round(ear.round_trip * 1000, 1)
    reason = ear.fault or ("" if joined else AWAY)
    return Check(DEGRADED if reason else "ok", reason, {"joined": joined, "round_trip_ms": trip})


def _drain() -> Check:
    if places.closing:
        return Check(UNREADY, "The process is about to end.", {"clients": len(places.open)})
    return Check(facts={"clients": len(places.open)})
