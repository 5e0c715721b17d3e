"""What can be seen from outside: the public address, visited as a browser and as a program visit it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from django.conf import settings
from django.urls import get_script_prefix, reverse
from django.utils.crypto import get_random_string

from realtime import database
from realtime.auth.origins import is_own_host
from realtime.client.http import Places
from realtime.conf import conf
from realtime.diagnosis import visitor
from realtime.diagnosis.findings import Finding, found
from realtime.diagnosis.listeners import DEADLINE, Heard, listen_to_socket, listen_to_stream, not_ours
from realtime.diagnosis.site import websocket_path
from realtime.diagnosis.visitor import Visitor
from realtime.exceptions import CSRF_FAILED

#: Changes that are made while we listen, and seconds between them.
CHANGES, PAUSE = 5, 0.2
#: Seconds that a change may take beyond a check of the log, before it is late.
GRACE = 2.0
#: Characters of the secret in Django's CSRF cookie.
CSRF_SECRET = 32
#: Of the heartbeat interval: how long a connection must survive when nothing happens.
IDLE = 1.5


class Visit:
    """One look at a public address."""

    def __init__(self, url: str, idle: bool = False) -> None:
        """Raise ``ValueError`` when ``url`` is no address of a site."""
        places = Places.of(url)
        self._base = places.base
        self._socket_url = urljoin(places.socket, websocket_path().lstrip("/"))
        self._idle = idle

    def address_findings(self) -> list[Finding]:
        """Say whether the address may be sent a credential at all."""
        parts = urlsplit(self._base)
        if not is_own_host(parts.netloc):
            # Nowhere else goes a credential of this site.
            return [found("host_not_allowed", parts.netloc)]
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        return [] if parts.scheme == "https" or local else [found("no_tls", self._base)]

    @property
    def lifetime(self) -> float:
        """How many seconds a visit may take."""
        longest = max(conf.PING_INTERVAL, conf.SSE_HEARTBEAT_INTERVAL) * IDLE if self._idle else 0.0
        return visitor.LIFETIME + longest

    async def findings(self, guest: Visitor) -> list[Finding]:
        """Knock, listen in every way, and say what is wrong; at most half a minute, unless ``idle``."""
        async with httpx.AsyncClient(timeout=httpx.Timeout(DEADLINE, read=None)) as http:
            if problems := await self._knock(http):
                return problems
            return [*await self._listen(http, guest), *await self._as_a_page(http, guest)]

    def _place(self, name: str) -> str:
        # The address that we were given is below the prefix already.
        path = reverse(f"realtime:{name}").removeprefix(get_script_prefix())
        return urljoin(self._base, path.lstrip("/"))

    async def _knock(self, http: httpx.AsyncClient) -> list[Finding]:
        try:
            answer = await http.get(self._place("healthz"), timeout=DEADLINE)
        except httpx.HTTPError as error:
            # No credential has been sent yet that it could quote.
            return [found("unreachable", f"{type(error).__name__} {error}".strip())]
        alive = answer.status_code == 200 and "alive" in answer.text
        return [] if alive else [not_ours(answer.status_code, answer.content)]

    async def _listen(self, http: httpx.AsyncClient, guest: Visitor) -> list[Finding]:
        """Listen both ways at once while the task changes, so that one tells what is wrong with the other."""
        stream, socket = Heard("stream"), Heard("socket")
        bearer = {"Authorization": f"Bearer {guest.token}"}
        works: list[Coroutine[Any, Any, None]] = [
            listen_to_stream(http, self._place("events"), guest.task_id, guest.token, stream),
            listen_to_socket(self._socket_url, guest.task_id, bearer, socket),
        ]
        listening = [asyncio.create_task(work) for work in works]
        try:
            await _until(lambda: all(h.opened.is_set() or not h.alive for h in (stream, socket)), DEADLINE)
            written = await self._change(guest)
            patience = conf.LOG_CHECK_INTERVAL + GRACE
            # Of one that has not even opened nothing is awaited any more.
            awaited = [heard for heard in (stream, socket) if heard.opened.is_set()]
            await _until(lambda: all(len(h.arrived) == CHANGES or not h.alive for h in awaited), patience)
            judged = _judge(stream, socket, written, patience)
            if self._idle and not judged:
                judged = await _stay(stream, socket)
            return judged
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)

    async def _change(self, guest: Visitor) -> dict[int, float]:
        written = {}
        for number in range(CHANGES):
            await database.run_now(visitor.change, guest.task_id, number)
            written[number] = time.monotonic()
            await asyncio.sleep(PAUSE)
        return written

    async def _as_a_page(self, http: httpx.AsyncClient, guest: Visitor) -> list[Finding]:
        """Come with the session's cookie and the origin that a browser would name."""
        if not guest.session:
            return []
        parts = urlsplit(self._base)
        origin = f"{parts.scheme}://{parts.netloc}"
        cookie = f"{settings.SESSION_COOKIE_NAME}={guest.session}"
        heard = Heard("page")
        socket = asyncio.create_task(
            listen_to_socket(self._socket_url, guest.task_id, {"Cookie": cookie, "Origin": origin}, heard)
        )
        await _until(lambda: heard.opened.is_set() or not heard.alive, DEADLINE)
        socket.cancel()
        await asyncio.gather(socket, return_exceptions=True)
        problems = [one for one in heard.findings if one.id == "origin_refused"]
        return [*problems, *await self._form(http, cookie, origin)]

    async def _form(self, http: httpx.AsyncClient, cookie: str, origin: str) -> list[Finding]:
        """Send what a form of the site would; a ticket that nobody uses comes of it."""
        if settings.CSRF_USE_SESSIONS:
            return []
        secret = get_random_string(CSRF_SECRET)
        headers = {
            "Cookie": f"{cookie}; {settings.CSRF_COOKIE_NAME}={secret}",
            **{"X-CSRFToken": secret, "Origin": origin, "Referer": f"{origin}/"},
        }
        try:
            answer = await http.post(self._place("ticket"), headers=headers, timeout=DEADLINE)
        except httpx.HTTPError:
            return []
        refused = answer.status_code == CSRF_FAILED.status and CSRF_FAILED.code in answer.text
        return [found("csrf_refused", origin)] if refused else []


def _judge(stream: Heard, socket: Heard, written: dict[int, float], patience: float) -> list[Finding]:
    """Compare what was written with what came."""
    # What both have met is told once; and who finds no ASGI has no upgrade either.
    met = {finding.id: finding for finding in (*socket.findings, *stream.findings)}
    if "wsgi" in met:
        met.pop("upgrade_missing", None)
    problems = [*met.values()]
    on_time = {heard.name: _on_time(heard, written, patience) for heard in (stream, socket)}
    if not stream.findings and not stream.opened.is_set():
        problems.append(found("sse_held"))
    if not socket.findings and not socket.opened.is_set():
        problems.append(found("socket_silent"))
    if not problems and not stream.arrived and not socket.arrived:
        return [found("events_missing")]
    if stream.opened.is_set() and not on_time["stream"] and on_time["socket"]:
        problems.append(found("sse_late", _delays(stream, written)))
    if socket.opened.is_set() and not on_time["socket"] and on_time["stream"]:
        problems.append(found("socket_silent", _delays(socket, written)))
    return problems


def _on_time(heard: Heard, written: dict[int, float], patience: float) -> bool:
    return all(heard.arrived.get(n, float("inf")) - moment < patience for n, moment in written.items())


def _delays(heard: Heard, written: dict[int, float]) -> str:
    delays = [
        f"{heard.arrived[n] - moment:.1f}" if n in heard.arrived else "never" for n, moment in written.items()
    ]
    return f"seconds until each of {len(written)} changes: {', '.join(delays)}"


async def _stay(stream: Heard, socket: Heard) -> list[Finding]:
    """Do nothing for longer than a heartbeat; whoever is cut off meanwhile was not waited for."""
    begin = time.monotonic()
    for heard in (stream, socket):
        await _until(lambda: not heard.alive, begin + heard.heartbeat * IDLE - time.monotonic())  # noqa: B023
    cut = [heard.name for heard in (stream, socket) if not heard.alive]
    return (
        [found("idle_timeout", f"{' and '.join(cut)}, within {time.monotonic() - begin:.0f} s")]
        if cut
        else []
    )


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - it looks a hundred times, and ends
        await asyncio.sleep(0.05)
