"""The one-command start: `python -m project.demo.run`, which `make run` calls.

Migrates, makes the users, starts the server and the worker, says where to look once both work, and ends
both on Ctrl-C. They say nothing themselves but what is wrong: the passwords stay on the screen.
"""

import errno
import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import django
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from project.demo.processes import Children

HOST = "127.0.0.1"
START_SECONDS = 60


def main() -> int:
    """Run the demonstration until a signal comes or a child dies; return the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    os.environ.setdefault("DEBUG", "1")  # this start binds to loopback only
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        django.setup()
        _require_free_port(settings.PORT)
        call_command("migrate", verbosity=0, skip_checks=False)
        with Children() as children:
            _run(children, stop)
    except (CommandError, ImproperlyConfigured) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(children: Children, stop: threading.Event) -> None:
    """Start the server and the worker, say so when both work, and watch them."""
    python, begin = sys.executable, timezone.now()
    server = [python, "-m", "project.daphne_server", "-b", HOST, "-p", str(settings.PORT)]
    # Its access log is none of Django's.
    server += [] if settings.LOG_LEVEL == "INFO" else ["--verbosity", "0"]
    children.start("server", [*server, "project.asgi:application"])
    users = io.StringIO()
    call_command("demo_users", stdout=users)
    children.start("worker", [python, str(settings.BASE_DIR / "manage.py"), "demo_worker"])
    print("Starting the server and the worker…", flush=True)
    _wait("server does not answer", _answers, children, stop)
    # Its first task is there at once.
    tasks = apps.get_model("realtime.Task").objects.filter(created_at__gt=begin)
    _wait("worker does nothing", tasks.exists, children, stop)
    connections.close_all()
    if not stop.is_set():
        _welcome(users.getvalue())
    while not stop.wait(0.5):
        _require_alive(children)


def _welcome(users: str) -> None:
    """Say where to look and how to get in."""
    address = f"http://{HOST}:{settings.PORT}/"
    print(f"\n  Your tasks, moving: {address}\n  The admin:          {address}admin/")
    print(f"\n  Log in with one of these names and its password:\n\n{users}")
    print("  Ctrl-C ends it. With LOG_LEVEL=INFO it also prints each request and task.\n", flush=True)


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        # As the server binds: a port that only waits for old connections to fade is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandError(f"Cannot listen on {HOST}:{port}: {error.strerror}.") from error
            raise CommandError(
                f"Port {port} is taken. End what uses it, or: make run PORT={port + 1}"
            ) from error


def _wait(failure: str, works: Callable[[], bool], children: Children, stop: threading.Event) -> None:
    """Return when it works, or when told to stop."""
    deadline = time.monotonic() + START_SECONDS
    while not stop.wait(0.1):
        _require_alive(children)
        if works():
            return
        if time.monotonic() > deadline:
            raise CommandError(f"The {failure} after {START_SECONDS} s.")


def _answers() -> bool:
    """Tell whether the server takes connections."""
    try:
        socket.create_connection((HOST, settings.PORT), timeout=1).close()
    except OSError:
        return False
    return True


def _require_alive(children: Children) -> None:
    if dead := children.dead():
        raise CommandError(f"{dead[0].upper()}{dead[1:]}; everything else was ended too.")


if __name__ == "__main__":
    sys.exit(main())
