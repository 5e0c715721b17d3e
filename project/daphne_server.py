"""Daphne with three of its faults mended: `python -m project.daphne_server <daphne's arguments>`.

A ping at a time, so that a client that answers late is not cut off; a sender that waits for a client
that reads slowly; and no credential in the access log. Pings default to every 30 seconds and a
connection counts as dead after 60 without an answer.
"""

import asyncio
import sys
import time
from typing import Any

from daphne.cli import CommandLineInterface  # before anything of Twisted: it chooses the reactor
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet.abstract import FileDescriptor

from realtime.conf import conf
from realtime.logs import redact

PING_INTERVAL = 30
PING_TIMEOUT = 60
#: Seconds for a client to answer a close.
CLOSE_SECONDS = 5
#: Bytes that may wait for one client before the sender waits too.
UNSENT_LIMIT = 256 * 1024
#: Seconds between looks at what waits.
UNSENT_LOOK = 0.05


def _transport(protocol: Any) -> Any:
    """The connection below a WebSocket, or below a request; None when it is gone."""
    channel = getattr(protocol, "channel", None)
    return protocol.transport if channel is None else channel.transport


def _unsent(protocol: Any) -> int:
    """How many bytes wait for the client, in the places where Twisted keeps them."""
    transport = _transport(protocol)
    if transport is None or not getattr(transport, "connected", False):
        return 0
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


def _cut_off(protocol: Any) -> None:
    """End the connection at once, with all that waits for the client."""
    if _unsent(protocol):
        _transport(protocol).abortConnection()


class OnePingInFlight(WebSocketProtocol):  # type: ignore[misc]
    """A WebSocket that sends no second ping while one waits for its pong.

    Daphne's own forgets the deadline of the first without cancelling it: the late pong no longer
    matches, the deadline still strikes, and a live client is dropped. Here the pending ping keeps
    its deadline. And one that gives a slow client time to read the last frames and the close code:
    daphne cuts the line a second after it has sent them, and what has not been read by then is lost.
    """

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        super().connectionMade()
        self.closeHandshakeTimeout = CLOSE_SECONDS

    def _sendAutoPing(self) -> None:  # noqa: N802 - autobahn's name
        if not self.autoPingPending:
            super()._sendAutoPing()


class GuardedServer(Server):  # type: ignore[misc]
    """A server that buffers little for a client that stops reading, and logs no token.

    Daphne's own takes whatever the application sends and keeps it in memory, without end for an event
    stream; and its access log shows the whole query string.
    """

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send, and return when the client has taken enough of it.

        A client that takes nothing for ``SEND_TIMEOUT`` is cut off.
        """
        await super().handle_reply(protocol, message)
        left = _unsent(protocol)
        if left <= UNSENT_LIMIT:
            return
        deadline = time.monotonic() + conf.SEND_TIMEOUT
        try:
            while (now_left := _unsent(protocol)) > UNSENT_LIMIT:
                if now_left < left:
                    left, deadline = now_left, time.monotonic() + conf.SEND_TIMEOUT
                elif time.monotonic() > deadline:
                    _cut_off(protocol)
                    return
                await asyncio.sleep(UNSENT_LOOK)
        except asyncio.CancelledError:
            # A stream has no last word, and daphne would wait for ever until it is read.
            if getattr(protocol, "channel", None) is not None:
                _cut_off(protocol)
            raise

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Pass the entry on to the access log without credentials."""
        super().log_action(protocol, action, {**details, "path": redact(str(details["path"]))})


class GuardedCommandLine(CommandLineInterface):  # type: ignore[misc]
    """Daphne's command line with our server and our ping defaults."""

    server_class = GuardedServer

    def __init__(self) -> None:
        super().__init__()
        self.parser.set_defaults(
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            # After a day daphne would close with 1000, which tells a client not to come back.
            websocket_timeout=-1,
        )


def install() -> None:
    """Give daphne our WebSocket; raise RuntimeError when a new daphne is built in another way."""
    if not callable(getattr(WebSocketProtocol, "_sendAutoPing", None)) or not callable(
        getattr(WebSocketProtocol, "check_timeouts", None)
    ):
        raise RuntimeError("This daphne sends its pings in another way: see OnePingInFlight.")
    if WebSocketFactory.protocol not in (WebSocketProtocol, OnePingInFlight):
        raise RuntimeError("This daphne chooses its WebSocket protocol in another way.")
    if not callable(getattr(Server, "log_action", None)):
        raise RuntimeError("This daphne writes its access log in another way: see GuardedServer.")
    if not all(hasattr(FileDescriptor, name) for name in ("dataBuffer", "offset")):
        raise RuntimeError("This Twisted keeps what is unsent in another way: see GuardedServer.")
    WebSocketFactory.protocol = OnePingInFlight


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    install()
    GuardedCommandLine().run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
