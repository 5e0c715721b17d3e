"""One watch: a WebSocket that comes back for ever, read in the background, told in order."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from datetime import datetime
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from realtime.client.credential import Credential
from realtime.client.errors import ClientClosed, ClientError, Denied, Unreachable
from realtime.client.events import Event
from realtime.client.http import Http, Places
from realtime.client.opening import StraightConnect
from realtime.client.session import Session
from realtime.client.timing import Timing, rule
from realtime.exceptions import Retry
from realtime.logs import RedactCredentials

logger = logging.getLogger("realtime.client")
#: What the WebSocket's own library says; at DEBUG it would tell headers and frames, tokens among them.
_wire = logging.getLogger("realtime.client.wire")
_wire.addFilter(RedactCredentials())

#: Bytes of a frame; the largest that a server may send is below one MiB.
LARGEST = 4 * 1024 * 1024
#: Of the server's heartbeat interval: silence for longer counts as a cut.
SILENCE = 2.5
#: Seconds for the last words of a connection.
FAREWELL = 2.0


class _Silent(Exception):
    """The line is dead: it says nothing, not even that it is."""


class Watch:
    """Follows what a session wants until it is finished; :meth:`next` gives the events."""

    def __init__(
        self,
        session: Session,
        places: Places,
        http: Http,
        credential: Credential,
        timing: Timing,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._session = session
        self._places = places
        self._http = http
        self._credential = credential
        self._timing = timing
        self._options: dict[str, Any] = {} if context is None else {"ssl": context}
        # A bounded queue: who does not take events makes the reader wait, and the server notice.
        self._queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue(timing.queue)
        self._task: asyncio.Task[None] | None = None
        self._attempt = 0
        self._token: str | None = None
        #: The token that was refused, until a connection is let in.
        self._refused: str | None = None
        self._connected_once = False
        self._after: float | None = None
        self._clock = asyncio.get_running_loop().time
        self._live_at = self._clock()

    def start(self) -> None:
        """Begin to follow, in a task of its own, which :meth:`close` ends."""
        self._task = asyncio.create_task(self._run(), name="realtime-client-watch")

    async def next(self) -> Event | None:
        """Return the next event, None at the end. Raises ``ClientError``."""
        found = await self._queue.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        """Let go of the connection; who still waits for an event is told ``ClientClosed``."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(ClientClosed("The client was closed."))

    async def _run(self) -> None:
        end: Exception | None = None
        try:
            while not self._session.finished:
                await self._come()
        except Exception as error:
            end = error
        await self._queue.put(end)

    # -- one connection after the other -------------------------------------------------------

    async def _come(self) -> None:
        """Connect once, follow, and wait as long as is to be waited before the next time."""
        pause: float | None = None
        try:
            self._token = await self._credential.token(self._http, self._refused)
            code = await self._follow(self._token)
            if self._session.finished:
                return
            said = self._session.error
            reason = said[1] if said else f"The connection was closed with {code}."
            pause = self._pause_after(code, reason)
        except Unreachable as error:
            if error.foreign and not self._connected_once:
                raise Denied(
                    f"{error.message} Is {self._places.base} the right address?", "not_ours"
                ) from None
            reason, pause = error.message, error.retry_after
        except InvalidStatus as error:
            reason = self._judge(error.response.status_code)
        except InvalidHandshake as error:
            # Not the error itself: it may quote a header, and that is the token.
            reason = f"The upgrade to a WebSocket failed: {type(error).__name__}."
        except (OSError, TimeoutError, _Silent) as error:
            reason = f"{type(error).__name__}: {error}"
        finally:
            self._session.cut()
        limit = self._timing.give_up
        if limit is not None and self._clock() - self._live_at > limit:
            raise Unreachable(reason)
        pause = self._timing.pause(self._attempt) if pause is None else pause
        self._attempt += 1
        # That a line ends once is nothing.
        level = logging.INFO if self._attempt == 1 else logging.WARNING
        logger.log(level, "Not connected to %s: %s Next try in %.1f s.", self._places.base, reason, pause)
        await asyncio.sleep(pause)

    def _judge(self, status: int) -> str:
        """Say what an HTTP answer to the upgrade means; one that never worked will not by itself."""
        reason = f"The upgrade to a WebSocket was answered {status}."
        if status < 500 and status != 429 and not self._connected_once:
            raise Denied(f"{reason} Is {self._places.socket} the right address?", "no_websocket")
        return reason

    def _pause_after(self, code: int, reason: str) -> float | None:
        """Return for how long to wait, None for a random time. Raises ``Denied`` when not to come back."""
        said = self._session.error
        problem = said[0] if said else f"closed_{code}"
        match rule(code):
            case Retry.NEVER:
                raise Denied(reason, problem)
            case Retry.NEW_CREDENTIALS:
                if self._refused is not None:
                    raise Denied(reason, problem)
                # Once more even with the same: it may be the rights only that have changed.
                self._refused = self._token
            case Retry.WITH_CURSOR if self._attempt == 0:
                return 0.0
            case Retry.JITTERED:
                after, self._after = self._after, None
                return after
        return None

    # -- one connection -----------------------------------------------------------------------

    async def _follow(self, token: str) -> int:
        """Serve one connection to its end; return the code with which it was closed, 1006 without one."""
        try:
            async with StraightConnect(
                self._places.socket,
                additional_headers={"Authorization": f"Bearer {token}"},
                open_timeout=self._timing.connect,
                close_timeout=FAREWELL,
                # The server pings in its own protocol, and its heartbeat says how long silence may last.
                ping_interval=None,
                compression=None,
                max_size=LARGEST,
                logger=_wire,
                **self._options,
            ) as connection:
                await self._converse(connection)
                return 1000
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006

    async def _converse(self, connection: ClientConnection) -> None:
        """Read until nothing is left to watch. Raises ``ConnectionClosed``, or ``_Silent``."""
        patience, renew_at = self._timing.connect, float("inf")
        while not self._session.finished:
            silent_at = self._clock() + patience
            try:
                async with asyncio.timeout_at(min(silent_at, renew_at)):
                    raw = await connection.recv()
            except TimeoutError:
                if self._clock() < renew_at:
                    raise _Silent(f"nothing was heard for {patience} s") from None
                renew_at = float("inf")
                await self._renew(connection)
                continue
            try:
                frame: dict[str, Any] = msgspec.json.decode(raw)
                step = self._session.receive(frame)
            except (msgspec.MsgspecError, LookupError, TypeError) as error:
                # It would come again at every resume.
                raise Denied(f"The server sent what this client cannot read: {error}", "unreadable") from None
            for event in step.events:
                await self._queue.put(event)
            # Only now: the answer to a ping says that everything before it has been dealt with.
            for message in step.messages:
                await self._send(connection, message)
            if frame["type"] == "connected":
                self._connected_once, self._refused = True, None
                patience = frame["heartbeat_interval"] * SILENCE
            elif frame["type"] == "reconnect":
                self._after = frame["after_ms"] / 1000
            if frame["type"] in ("connected", "authenticated"):
                renew_at = self._clock() + self._renew_in(frame)
            if self._session.current:
                self._attempt, self._live_at = 0, self._clock()

    def _renew_in(self, frame: dict[str, Any]) -> float:
        """Return in how many seconds to renew the token, by the server's clock; never where it cannot be."""
        if not frame.get("expires_at") or not self._credential.renewable:
            return float("inf")
        end, now = (datetime.fromisoformat(frame[name]) for name in ("expires_at", "timestamp"))
        return self._timing.renew_in((end - now).total_seconds())

    async def _renew(self, connection: ClientConnection) -> None:
        """Bring a new token before the old one ends; if that fails, the server will say so."""
        try:
            self._token = await self._credential.token(self._http, self._token)
        except ClientError as error:
            logger.warning("The token could not be renewed: %s", error)
            return
        await self._send(connection, {"action": "authenticate", "token": self._token})

    async def _send(self, connection: ClientConnection, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._timing.connect):
            await connection.send(json.dumps(message))
