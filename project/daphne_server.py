"""Daphne with two of its faults mended: `python -m project.daphne_server <daphne's arguments>`.

A ping at a time, so that a client that answers late is not cut off, and no credential in the access
log. Pings default to every 30 seconds and a connection counts as dead after 60 without an answer.
"""

import sys
from typing import Any

from daphne.cli import CommandLineInterface  # before anything of Twisted: it chooses the reactor
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from realtime.logs import redact

PING_INTERVAL = 30
PING_TIMEOUT = 60


class OnePingInFlight(WebSocketProtocol):  # type: ignore[misc]
    """A WebSocket that sends no second ping while one waits for its pong.

    Daphne's own forgets the deadline of the first without cancelling it: the late pong no longer
    matches, the deadline still strikes, and a live client is dropped. Here the pending ping keeps
    its deadline.
    """

    def _sendAutoPing(self) -> None:  # noqa: N802 - autobahn's name
        if not self.autoPingPending:
            super()._sendAutoPing()


class QuietServer(Server):  # type: ignore[misc]
    """A server whose access log shows no token, where daphne's shows the whole query string."""

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Pass the entry on to the access log without credentials."""
        super().log_action(protocol, action, {**details, "path": redact(str(details["path"]))})


class GuardedCommandLine(CommandLineInterface):  # type: ignore[misc]
    """Daphne's command line with our server and our ping defaults."""

    server_class = QuietServer

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
        raise RuntimeError("This daphne writes its access log in another way: see QuietServer.")
    WebSocketFactory.protocol = OnePingInFlight


def main(arguments: list[str]) -> None:
    """Serve until told to stop."""
    install()
    GuardedCommandLine().run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
