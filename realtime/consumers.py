"""The WebSocket door: reads messages, sends frames, and says why it closes.

A plain ASGI application, not one of Channels' consumer classes: their dispatch hops through one
process-wide thread for every event, and an exception in a handler would skip their clean-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import ExitStack
from typing import Any

from realtime import auth, metrics
from realtime.addresses import client_address
from realtime.conf import conf
from realtime.connections import Caller
from realtime.events import Viewer
from realtime.exceptions import (
    INTERNAL,
    MESSAGE_TOO_BIG,
    RATE_LIMITED,
    RESTARTING,
    SLOW_CONSUMER,
    TOO_MANY_BAD_MESSAGES,
    UNAVAILABLE,
    UNSUPPORTED_FRAME,
    ProtocolError,
    Refused,
)
from realtime.hub import Hub
from realtime.limits import MessageRate, Place, places
from realtime.middleware import Application, Receive, Scope, Send
from realtime.process import current_hub
from realtime.protocol import client
from realtime.protocol.delivery import as_msgpack, as_text
from realtime.stream import Stream, Timers, Window, frames

logger = logging.getLogger("realtime.websocket")

#: Bad messages in a row after which the connection is closed.
BAD_MESSAGES = 10
#: The subprotocols we can speak, the one we would rather first.
MSGPACK = "realtime.msgpack"
SUBPROTOCOLS = (MSGPACK, "realtime.json", auth.BEARER)
#: Seconds for the last words to a client that may not be reading.
FAREWELL = 1.0


class StatusConsumer:
    """Serves ``/ws``: one instance per connection."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._stuck = False
        #: Whether frames, both ways, are binary.
        self._packed = False

    @classmethod
    def as_asgi(cls) -> Application:
        """Return the ASGI application, for a ``URLRouter``."""

        def application(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            # Not async itself: it would be one more frame to resume at every delivery.
            return cls(scope, receive, send).serve()

        return application

    async def serve(self) -> None:
        """Serve the connection from its handshake to its end."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        auth.hide(self._scope)
        self._packed = MSGPACK in self._scope.get("subprotocols", ())
        with ExitStack() as leaving:
            try:
                place = places.enter(client_address(self._scope))
                leaving.callback(place.leave)
                viewer = await auth.authenticate(self._scope)
                place.belongs_to(viewer.user_id)
                the_hub = await current_hub()
            except Refused as refused:
                # Its place is free again before its client hears why, and tries once more.
                leaving.close()
                await self._refuse(refused)
                return
            except Exception:
                leaving.close()
                logger.exception("A connection could not be served.")
                await self._refuse(Refused(UNAVAILABLE))
                return
            await self._accept()
            await self._converse(the_hub, viewer, place)

    async def _refuse(self, refused: Refused) -> None:
        """Accept, say why, close: a refusal before ``accept`` would reach a browser as 1006."""
        await self._accept()
        await self._farewell(refused)

    async def _accept(self) -> None:
        """Accept with the subprotocol that the client offered: a browser gives up if none is chosen.

        Never the token that it may have offered as another (RFC 6455 §4.2.2).
        """
        offered = self._scope.get("subprotocols", ())
        chosen = next((name for name in SUBPROTOCOLS if name in offered), None)
        await self._send({"type": "websocket.accept", "subprotocol": chosen})

    async def _converse(self, the_hub: Hub, viewer: Viewer, place: Place) -> None:
        window = Window(conf.WRITE_WINDOW, conf.SEND_TIMEOUT)
        timers = Timers(ping=conf.PING_INTERVAL, pong_timeout=conf.PONG_TIMEOUT, window=window)
        caller = Caller(metrics.WEBSOCKET, "msgpack" if self._packed else "json", client_address(self._scope))
        encode = as_msgpack if self._packed else as_text
        stream = Stream(the_hub, viewer, encode, timers, caller=caller)
        # A task of its own: within this one, each delivery would resume every frame from the server
        # down to here.
        speaking = asyncio.create_task(self._speak(stream))
        reading = asyncio.create_task(self._read(stream, speaking))
        stream.subscriber.on_stuck = lambda: self._give_up(speaking)
        place.when_sent_away(lambda: stream.refuse(Refused(RESTARTING)))
        try:
            await speaking
        except Refused as refused:
            await self._farewell(refused)
        except asyncio.CancelledError:
            # Our own doing when the client left or is stuck; the server's when it shuts down.
            if self._stuck:
                await self._farewell(Refused(SLOW_CONSUMER))
            elif not reading.done():
                raise
        except Exception:
            logger.exception("A connection failed.")
            await self._farewell(Refused(INTERNAL))
        finally:
            reading.cancel()
            stream.close()

    def _give_up(self, speaking: asyncio.Task[None]) -> None:
        if not self._stuck:
            metrics.STUCK.labels(metrics.WEBSOCKET).inc()
        self._stuck = True
        speaking.cancel()

    async def _speak(self, stream: Stream) -> None:
        send, subscriber, field = self._send, stream.subscriber, "bytes" if self._packed else "text"
        clock = asyncio.get_running_loop().time
        while batch := await stream.next():
            for payload in batch:
                subscriber.busy_since = clock()
                try:
                    await send({"type": "websocket.send", field: payload})
                except OSError:
                    # uvicorn says so when the peer has gone; daphne drops the frame in silence.
                    return
            subscriber.busy_since = None

    async def _read(self, stream: Stream, speaking: asyncio.Task[None]) -> None:
        """Read until the client leaves, then end the other half."""
        try:
            await self._take_messages(stream)
        except Exception:
            logger.exception("A connection could not be read.")
            stream.refuse(Refused(INTERNAL))
        else:
            speaking.cancel()

    async def _take_messages(self, stream: Stream) -> None:
        """Take every message at once: a server that waits for us reads no pongs either."""
        bad, rate = 0, MessageRate()
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] != "websocket.receive":
                continue
            try:
                asked_for = False
                try:
                    parsed = self._parse(message)
                    # As many of these come as we ask for: the more the client reads, the more.
                    asked_for = isinstance(parsed, client.Pong) and stream.awaits(parsed)
                finally:
                    in_time = asked_for or rate.take()
                # Another pong counts, but is served: its client is given up when none comes.
                if not in_time and not isinstance(parsed, client.Pong):
                    raise ProtocolError(RATE_LIMITED, request_id=parsed.request_id)
                stream.commands.post(parsed)
                bad = 0
            except ProtocolError as error:
                stream.complain(error)
                bad += error.problem is not RATE_LIMITED
                if bad == BAD_MESSAGES:
                    stream.refuse(Refused(TOO_MANY_BAD_MESSAGES))
            except Refused as refused:
                stream.refuse(refused)

    def _parse(self, message: dict[str, Any]) -> client.ClientMessage:
        text = message.get("text")
        body = text.encode("utf-8", "surrogatepass") if text is not None else message["bytes"]
        if len(body) > conf.MAX_MESSAGE_SIZE:
            raise Refused(MESSAGE_TOO_BIG, f"A message has at most {conf.MAX_MESSAGE_SIZE} bytes.")
        if (text is None) != self._packed:
            raise ProtocolError(UNSUPPORTED_FRAME)
        parsed = client.parse_msgpack(body) if self._packed else client.parse_json(body)
        if isinstance(parsed, client.Subscribe | client.Unsubscribe):
            # Raises for a bad id or an unknown topic: those count as bad messages too.
            parsed.subscriptions()
        return parsed

    async def _farewell(self, refused: Refused) -> None:
        """Say why and close; the reason goes into a frame, as daphne drops that of a close.

        Close also when it cannot be said: a server may hold a connection for which nobody speaks any more.
        """
        problem = refused.problem
        last, code = frames.farewell(refused), problem.close_code or 4500
        metrics.ERRORS.labels(problem.code, metrics.WEBSOCKET).inc()
        metrics.CLOSES.labels(str(code)).inc()
        said = {"bytes": as_msgpack(last)} if self._packed else {"text": as_text(last)}
        for words in (
            {"type": "websocket.send", **said},
            {"type": "websocket.close", "code": code, "reason": problem.code},
        ):
            try:
                async with asyncio.timeout(FAREWELL):
                    await self._send(words)
            except (OSError, TimeoutError, RuntimeError):
                logger.debug("The client could not be told %s.", problem.code)
