"""The two ways of listening to a site from outside, each noting when what arrives, and what is wrong."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from realtime.client.opening import StraightConnect
from realtime.diagnosis.findings import Finding, found
from realtime.exceptions import ASGI_REQUIRED, NOT_AUTHENTICATED, ORIGIN_NOT_ALLOWED

#: Seconds for a connection to open.
DEADLINE = 6.0
#: Bytes of an answer that is no stream.
LARGEST = 65_536
GATEWAY = (502, 503, 504)


@dataclass(slots=True)
class Heard:
    """What one listener knows so far."""

    name: str
    #: Set with ``subscribed``: from then on changes must arrive.
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    #: By the number in a change's message: when it came, by the monotonic clock.
    arrived: dict[int, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    heartbeat: float = 0.0
    alive: bool = True

    def take(self, frame: dict[str, Any]) -> None:
        """Note a frame."""
        if frame["type"] == "connected":
            self.heartbeat = float(frame["heartbeat_interval"])
        elif frame["type"] == "subscribed":
            self.opened.set()
        elif frame["type"] == "error":
            self.findings.append(refusal(frame))
        elif frame["type"] == "task_update" and frame["data"].get("message", "").isdigit():
            self.arrived.setdefault(int(frame["data"]["message"]), time.monotonic())


def refusal(said: dict[str, Any], status: int = 0) -> Finding:
    """Return what a refusal in our own words means, when our own token was sent."""
    code, detail = (
        str(said.get("code", "")),
        f"{status or ''} {said.get('code')}: {said.get('message')}".strip(),
    )
    if code == ASGI_REQUIRED.code:
        return found("wsgi", detail)
    if code == NOT_AUTHENTICATED.code:
        return found("authorization_dropped", detail)
    if code == ORIGIN_NOT_ALLOWED.code:
        return found("origin_refused", detail)
    if code in ("invalid_token", "token_expired", "revoked", "user_inactive", "not_found"):
        return found("credential_refused", detail)
    return found("refused", detail)


def not_ours(status: int, body: bytes) -> Finding:
    """Return what an answer means that should have been something else."""
    try:
        said = json.loads(body)
        if isinstance(said, dict) and "code" in said:
            return refusal(said, status)
    except ValueError:
        pass
    if status in GATEWAY:
        return found("proxy_error", status)
    if 300 <= status < 400:
        return found("redirected", status)
    if status == 400:
        return found("host_refused", status)
    return found("not_ours", status)


async def listen_to_stream(http: httpx.AsyncClient, url: str, task_id: str, token: str, heard: Heard) -> None:
    """Follow the event stream until it ends; as a browser does, compression is offered."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "text/event-stream",
        "Accept-Encoding": "gzip, br",
    }
    try:
        async with http.stream("GET", url, params={"task_id": task_id}, headers=headers) as answer:
            if answer.status_code != 200:
                body = b"".join([chunk async for chunk in answer.aiter_raw()])[:LARGEST]
                heard.findings.append(not_ours(answer.status_code, body))
                return
            if (encoding := answer.headers.get("content-encoding", "identity")) != "identity":
                heard.findings.append(found("sse_compressed", encoding))
                return
            heard.findings += _changed(answer.headers)
            rest = b""
            async for chunk in answer.aiter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        heard.take(json.loads(line[5:]))
    except httpx.HTTPError as error:
        if not heard.opened.is_set():
            heard.findings.append(found("unreachable", type(error).__name__))
    finally:
        heard.alive = False


def _changed(headers: httpx.Headers) -> list[Finding]:
    kept = "text/event-stream" in headers.get("content-type", "") and "no-cache" in headers.get(
        "cache-control", ""
    )
    if kept:
        return []
    return [found("sse_headers", f"{headers.get('content-type')}; {headers.get('cache-control')}")]


async def listen_to_socket(url: str, task_id: str, headers: dict[str, str], heard: Heard) -> None:
    """Follow the WebSocket until it ends."""
    try:
        async with StraightConnect(
            url,
            additional_headers=headers,
            open_timeout=DEADLINE,
            close_timeout=1,
            ping_interval=None,
            compression=None,
        ) as socket:
            async for message in socket:
                frame = json.loads(message)
                heard.take(frame)
                # Only now: a server that refuses says why before it closes.
                if frame["type"] == "connected":
                    await socket.send(json.dumps({"action": "subscribe", "task_id": task_id}))
                elif frame["type"] == "ping":
                    await socket.send(json.dumps({"action": "pong", "t": frame["t"]}))
    except InvalidStatus as error:
        status = error.response.status_code
        redirected = "redirected" if 300 <= status < 400 else "upgrade_missing"
        heard.findings.append(found("proxy_error" if status in GATEWAY else redirected, status))
    except ConnectionClosed:
        pass
    except (InvalidHandshake, OSError, TimeoutError) as error:
        heard.findings.append(found("upgrade_missing", type(error).__name__))
    finally:
        heard.alive = False
