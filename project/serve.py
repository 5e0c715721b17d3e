"""Several server processes on one port, for a deployment: `python -m project.serve`.

uvicorn's own supervisor starts them, replaces one that dies, and at SIGHUP exchanges one after the
other. Each drains when it is told to end. docs/deploy.md says what the environment may say.

With `--prepare`, as `make serve` calls it, it migrates and collects the static files first. A
deployment on several hosts does that as a step of its own.
"""

import argparse
import os
import signal
import socket
import sys
import time
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from realtime.conf import conf
from realtime.layer import crosses_processes

APPLICATION = "project.asgi:application"
#: Seconds in which uvicorn ends what is left after the drain: slow requests, clients that stayed.
GRACE = 5
#: Seconds beyond drain and grace after which a process that has not ended is killed.
LATE = 5
#: Seconds that a new process has for its start, and a busy one to answer the supervisor.
START_SECONDS = 30

#: Milliseconds after which the kernel ends a connection whose client takes nothing.
UNREAD_MS = 30_000
#: Seconds in which the request of a connection that was just accepted must arrive.
ARRIVAL = 1.0


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, which at the end of a process still answers a request that is under way to it.

    uvicorn's own hangs up on a connection that it has accepted and not yet read from: its client, or a
    proxy, would see a server that fails.
    """

    def shutdown(self) -> None:
        """End the connection, when its first request has been answered or is late."""
        if self.cycle is None:
            self.loop.call_later(ARRIVAL, super().shutdown)
        else:
            super().shutdown()


OPTIONS: dict[str, Any] = {
    "ws": "websockets-sansio",
    "loop": "uvloop",
    "http": PatientProtocol,
    "interface": "asgi3",
    "lifespan": "off",
    # Of a proxy; an application ping goes out besides.
    "ws_ping_interval": 30,
    "ws_ping_timeout": 60,
    # As daphne's; what the app takes is less (MAX_MESSAGE_SIZE).
    "ws_max_size": 1024 * 1024,
    # It costs memory for every connection and time for every frame.
    "ws_per_message_deflate": False,
    "server_header": False,
    # The app reads X-Forwarded-For itself, as far as TRUSTED_PROXIES goes.
    "proxy_headers": False,
    "timeout_graceful_shutdown": GRACE,
    "timeout_worker_healthcheck": START_SECONDS,
    # Django's settings configure it, with no credential in it.
    "log_config": None,
}


class Served(Config):
    """uvicorn's configuration, with which a process ends when its supervisor has died."""

    def load(self) -> None:
        """Load the application, in the process that serves it."""
        if (supervisor := parent_process()) is not None:
            Thread(target=_end_after, args=(supervisor,), name="supervisor", daemon=True).start()
        super().load()


def _end_after(supervisor: BaseProcess) -> None:
    """Drain and end when the supervisor was killed: nobody would replace or end this process."""
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


class Supervisor(Multiprocess):
    """uvicorn's supervisor, which waits for its processes only as long as a drain may take."""

    @property
    def failed(self) -> bool:
        """Whether it ended since a process could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def keep_subprocess_alive(self) -> None:
        """Replace what has died or hangs.

        While this process holds the far end of a pipe too, it waits all of ``START_SECONDS`` for the answer
        of a process that was killed meanwhile.
        """
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()

    def join_all(self) -> None:
        """Wait until all have ended; kill what hangs."""
        deadline = time.monotonic() + conf.DRAIN_SECONDS + GRACE + LATE
        for process in self.processes:
            process.process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                process.kill()
        super().join_all()


def main() -> int:
    """Serve until a signal ends it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m project.serve", description="Serve the project.")
    parser.add_argument("--prepare", action="store_true", help="migrate and collect static files first")
    prepare = parser.parse_args().prepare
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        django.setup()
        _require_several_can_share()
        call_command("check")
        if prepare:
            call_command("migrate", verbosity=0)
            call_command("collectstatic", interactive=False, verbosity=0)
    except (CommandError, ImproperlyConfigured) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    config = Served(APPLICATION, host=settings.BIND, port=settings.PORT, workers=settings.WORKERS, **OPTIONS)
    # Bound here and shared: a connection made while one process ends is taken by another.
    listener = listen(config)
    supervisor = Supervisor(config, sockets=[listener])
    with listener:
        supervisor.run()
    return STARTUP_FAILURE if supervisor.failed else 0


def listen(config: Config) -> socket.socket:
    """Return the listening socket; what it is told holds for every connection.

    uvicorn itself waits for ever until a client has read what was sent to it before it was given up.
    """
    listener = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    return listener


def _require_several_can_share() -> None:
    """Raise CommandError when several processes would each live in a world of their own."""
    missing = []
    if settings.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
        missing.append("DATABASE_URL (PostgreSQL)")
    if not crosses_processes():
        missing.append("REDIS_URL")
    if settings.WORKERS > 1 and missing:
        raise CommandError(
            f"WORKERS is {settings.WORKERS}: several processes need {' and '.join(missing)}. "
            "Set them, or WORKERS=1."
        )


if __name__ == "__main__":
    sys.exit(main())
