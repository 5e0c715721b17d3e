"""``/metrics``: what Prometheus reads of this process.

With ``METRICS_TOKEN`` it asks for that; without, it is there only for callers on this host whom no proxy
has sent.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from ipaddress import ip_address

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from realtime import metrics
from realtime.atomicity import outside_transactions
from realtime.conf import conf
from realtime.exceptions import INVALID_TOKEN, NOT_AUTHENTICATED, NOT_FOUND, Refused
from realtime.process import present_hub
from realtime.views import problem_response

#: What proxies add to a request that they pass on.
FORWARDED = ("Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")


@outside_transactions
@require_safe
async def scrape(request: HttpRequest) -> HttpResponse:
    """Answer with this process's metrics in the Prometheus text format; starts nothing, asks no database."""
    try:
        _admit(request)
    except Refused as refused:
        return problem_response(refused)
    _look()
    return HttpResponse(
        metrics.text(), content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"}
    )


def _admit(request: HttpRequest) -> None:
    """Raise ``Refused`` for who may not read them."""
    if not conf.METRICS_TOKEN:
        if not _is_local(request):
            raise Refused(NOT_FOUND, "No such page.")
        return
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Refused(NOT_AUTHENTICATED)
    # As bytes: a header is what was sent, read as Latin-1.
    if not secrets.compare_digest(token.strip().encode("latin-1", "replace"), conf.METRICS_TOKEN.encode()):
        raise Refused(INVALID_TOKEN)


def _is_local(request: HttpRequest) -> bool:
    """Tell whether somebody on this host asks for himself; behind a Unix socket nobody is known to."""
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        peer = ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return False
    return (getattr(peer, "ipv4_mapped", None) or peer).is_loopback


def _look() -> None:
    """Bring up to date what is not counted as it happens."""
    the_hub = present_hub()
    if the_hub is None:
        return
    the_hub.connections.count()
    metrics.NODE.info({"node": str(the_hub.presence.id), "pid": str(os.getpid())})
    if the_hub.ready.is_set():
        metrics.POSITION.set(the_hub.position)
        metrics.LAG.set(asyncio.get_running_loop().time() - the_hub.level_at)
