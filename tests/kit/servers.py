"""A server process of the site, under daphne or uvicorn."""

import http.client
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kit.ports import HOST, listen
from tests.kit.process import Child
from tests.kit.waiting import eventually

APPLICATION = "project.asgi:application"
# The words `{fd}` stand for the listening socket that the kit hands over.
COMMANDS: dict[str, list[str]] = {
    "daphne": [
        *["-m", "project.daphne_server", "--fd", "{fd}"],
        *["--ping-interval", "30", "--ping-timeout", "60"],
    ],
    # As `python -m daphne` and `runserver` start it: without our guard, with its own pings.
    "stock-daphne": ["-m", "daphne", "--fd", "{fd}"],
    "uvicorn": [
        *["-m", "uvicorn", "--fd", "{fd}"],
        *["--ws", "websockets-sansio", "--ws-ping-interval", "30", "--ws-ping-timeout", "60"],
        *["--timeout-graceful-shutdown", "3", "--loop", "uvloop", "--http", "httptools"],
    ],
}


class Server(Child):
    """One running server process; its port is taken before it starts, so no two tests collide."""

    def __init__(
        self,
        kind: str,
        env: Mapping[str, str],
        log: Path,
        port: int = 0,
        arguments: Sequence[str] = (),
        timeout: float = 30,
        application: str = APPLICATION,
    ) -> None:
        """Start a server of that `kind` (a key of COMMANDS) and wait until it answers HTTP.

        `port` 0 takes a free one; that of a server that has ended takes its place. `arguments` are
        added to the command line.
        """
        self.kind = kind
        with eventually(lambda: listen(port), timeout) as listener:
            self.port: int = listener.getsockname()[1]
            descriptor = listener.fileno()
            words = [word.format(fd=descriptor) for word in COMMANDS[kind]]
            command = [sys.executable, *words, *arguments, application]
            super().__init__(command, log, env, pass_fds=[descriptor], warm=True)
        # Our own copy of the socket is closed: once the server ends, its port refuses connections.
        self._wait_until_ready(timeout)

    @property
    def url(self) -> str:
        """Its address, `http://host:port`."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Its address for WebSockets, `ws://host:port`."""
        return f"ws://{HOST}:{self.port}"

    def _wait_until_ready(self, timeout: float) -> None:
        """Send one request: the kernel takes it at once, the server answers when it is ready."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            self.kill()
            raise AssertionError(f"{self.kind} did not start:\n{self.log()}") from error
        finally:
            connection.close()
