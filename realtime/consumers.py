"""The WebSocket door: reads messages, sends frames, and says why it closes.

A plain ASGI application, not one of Channels' consumer classes: their dispatch hops through one
process-wide thread for every event, and an exception in a handler would skip their clean-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from realtime import auth
from realtime.conf import conf
from realtime.events import Viewer
from realtime.exceptions import (
    INTERNAL,
    MESSAGE_TOO_BIG,
    SLOW_CONSUMER,
    TOO_MANY_BAD_MESSAGES,
    UNAVAILABLE,
    UNSUPPORTED_FRAME,
    ProtocolError,
    Refused,
)
from realtime.hub import Hub
from realtime.middleware import Application, Receive, Scope, Send
from realtime.process import current_hub
from realtime.protocol import client
from realtime.protocol.delivery import as_text
from realtime.stream import Stream, Timers, frames

logger = logging.getLogger("realtime.websocket")

#: Bad messages in a row after which the connection is closed.
BAD_MESSAGES = 10
#: Seconds for the last words to a client that may not be reading.
FAREWELL = 1.0


class StatusConsumer:
    """Serves ``/ws``: one instance per connection."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._stuck = False

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
        try:
            viewer = await auth.authenticate(self._scope)
            the_hub = await current_hub()
        except Refused as refused:
            await self._refuse(refused)
            return
        except Exception:
            logger.exception("A connection could not be served.")
            await self._refuse(Refused(UNAVAILABLE))
            return
        await self._send({"type": "websocket.accept"})
        await self._converse(the_hub, viewer)

    async def _refuse(self, refused: Refused) -> None:
        """Accept, say why, close: a refusal before ``accept`` would reach a browser as 1006."""
        await self._send({"type": "websocket.accept"})
        await self._farewell(refused)

    async def _converse(self, the_hub: Hub, viewer: Viewer) -> None:
        stream = Stream(
            the_hub, viewer, as_text, Timers(ping=conf.PING_INTERVAL, pong_timeout=conf.PONG_TIMEOUT)
        )
        # A task of its own: within this one, each delivery would resume every frame from the server
        # down to here.
        speaking = asyncio.create_task(self._speak(stream))
        reading = asyncio.create_task(self._read(stream, speaking))
        stream.subscriber.on_stuck = lambda: self._give_up(speaking)
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
        self._stuck = True
        speaking.cancel()

    async def _speak(self, stream: Stream) -> None:
        send, subscriber = self._send, stream.subscriber
        clock = asyncio.get_running_loop().time
        while batch := await stream.next():
            for text in batch:
                subscriber.busy_since = clock()
                try:
                    await send({"type": "websocket.send", "text": text})
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
        bad = 0
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            if message["type"] != "websocket.receive":
                continue
            try:
                stream.commands.post(self._parse(message))
                bad = 0
            except ProtocolError as error:
                stream.complain(error)
                bad += 1
                if bad == BAD_MESSAGES:
                    stream.refuse(Refused(TOO_MANY_BAD_MESSAGES))
            except Refused as refused:
                stream.refuse(refused)

    @staticmethod
    def _parse(message: dict[str, Any]) -> client.ClientMessage:
        text = message.get("text")
        body = text.encode("utf-8", "surrogatepass") if text is not None else message["bytes"]
        if len(body) > conf.MAX_MESSAGE_SIZE:
            raise Refused(MESSAGE_TOO_BIG, f"A message has at most {conf.MAX_MESSAGE_SIZE} bytes.")
        if text is None:
            raise ProtocolError(UNSUPPORTED_FRAME)
        parsed = client.parse_json(body)
        if isinstance(parsed, client.Subscribe | client.Unsubscribe):
            # Raises for a bad id or an unknown topic: those count as bad messages too.
            parsed.subscriptions()
        return parsed

    async def _farewell(self, refused: Refused) -> None:
        """Send ``error`` and close; the reason goes into the frame, as daphne drops that of a close."""
        problem = refused.problem
        error = frames.error(problem, refused.message)
        try:
            async with asyncio.timeout(FAREWELL):
                await self._send({"type": "websocket.send", "text": as_text(error)})
                await self._send(
                    {
                        "type": "websocket.close",
                        "code": problem.close_code or 4500,
                        "reason": problem.code,
                    }
                )
        except (OSError, TimeoutError, RuntimeError):
            logger.debug("The client was gone before it could be told %s.", problem.code)
