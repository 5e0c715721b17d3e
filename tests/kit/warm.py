"""Starts Python processes warm: forked from one that has imported the libraries before.

A fresh interpreter takes most of a second to import Django and its company, and the suite starts
hundreds. The parent has no settings, no thread, no event loop and nothing of ours. A child sets its own
environment, descriptors and session, and then runs its command as `python` would.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.kit import reaper

ROOT = Path(__file__).resolve().parents[2]
#: What sites import and what neither reads a setting nor the environment.
LIBRARIES = [
    "django.core.management.commands.shell",
    "django.core.handlers.asgi",
    "django.db.backends.sqlite3.base",
    "django.db.models",
    "django.forms",
    "django.http",
    "django.template.loader",
    "django.test.client",
    "django.views.generic",
    "channels.db",
    "channels_redis.pubsub",
    "redis.asyncio",
    "psycopg",
    "psycopg_pool",
    "msgspec",
    "msgpack",
    "rest_framework.settings",
    "requests",
    "pygments",
    "yaml",
    "jsonschema",
    "uritemplate",
    "inflection",
    "jwt",
    "autobahn.websocket.protocol",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "twisted.web.server",
    "uvicorn.main",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
]
#: Set by the suite; measurements and faults start fresh processes.
allowed = False


class Warm:
    """A process started warm, with what the tests use of `subprocess.Popen`."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        standard: Sequence[int],
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start `command` in a session of its own; `standard` becomes its input, output and error."""
        self.returncode: int | None = None
        self._command = list(command)
        self._reading = threading.Lock()
        self._status, status = socket.socketpair()
        weakref.finalize(self, self._status.close)
        job = {"arguments": self._command[1:], "env": dict(env), "pass_fds": list(pass_fds)}
        try:
            self.pid = _ask(json.dumps(job).encode(), [status.fileno(), *standard, *pass_fds])
        finally:
            status.close()

    def poll(self) -> int | None:
        """The exit code, None while it runs; negative for a signal."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raise `subprocess.TimeoutExpired` after `timeout` seconds."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._command, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        if self.returncode is None and poll.poll(None if timeout is None else timeout * 1000):
            with self._reading:
                if self.returncode is None:
                    self.returncode = int(self._status.recv(16))
                    self._status.shutdown(socket.SHUT_WR)  # until now its id is nobody else's
                    self._status.recv(1)  # the parent has forgotten it
        return self.returncode


def can_be_warm(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a process started warm is like a fresh one: our Python, with nothing but `PYTHONUNBUFFERED`.

    A logging configuration of its own may switch off the loggers that exist, which then are more.
    """
    if not allowed or not hasattr(os, "pidfd_open") or command[0] != sys.executable:
        return False
    is_ours = command[1] in ("-m", "manage.py") and "--log-config" not in command
    return is_ours and _pythons(env) == _pythons(os.environ) | {"PYTHONUNBUFFERED": "1"}


def _pythons(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith("PYTHON")}


_asking = threading.Lock()


def _ask(job: bytes, descriptors: Sequence[int]) -> int:
    """Have the parent start a process; return its id."""
    with _asking:
        parent = _parent()
        socket.send_fds(parent, [job], descriptors)
        return int(parent.recv(16))


@functools.cache
def _parent() -> socket.socket:
    """The process from which the others are forked; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(60)
    env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    with theirs:
        command = [sys.executable, "-m", "tests.kit.warm", str(theirs.fileno())]
        env |= {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, pass_fds=[theirs.fileno()], start_new_session=True
        )
    reaper.watch(process.pid)
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def serve(control: socket.socket) -> "tuple[dict[str, Any], list[int]] | None":
    """Fork whenever asked; return in each child what it is to do, in the parent None when the tests end."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    ended: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                pid, status = running.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                ended[status.fileno()] = pid, status
                with contextlib.suppress(OSError):  # nobody asks any more
                    status.send(str(_exit_code(pid)).encode())
                poll.register(status, select.POLLIN)
            elif descriptor in ended:  # the tests have read the code
                pid, status = ended.pop(descriptor)
                poll.unregister(descriptor)
                os.waitpid(pid, 0)
                status.close()
            else:
                data, received, _, _ = socket.recv_fds(control, 1 << 20, 64)
                if not data:
                    return None
                pid = os.fork()
                if not pid:
                    return json.loads(data), received[1:]
                for each in received[1:]:
                    os.close(each)
                watch = os.pidfd_open(pid)
                running[watch] = pid, socket.socket(fileno=received[0])
                poll.register(watch, select.POLLIN)
                control.send(str(pid).encode())


def _exit_code(pid: int) -> int:
    """The exit code of a process that has ended, whose id is kept."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def run(job: Mapping[str, Any], received: Sequence[int]) -> None:
    """Become the process that was asked for."""
    os.setsid()
    wanted = [0, 1, 2, *job["pass_fds"]]
    above = max(*wanted, *map(int, os.listdir("/proc/self/fd"))) + 1
    for number, each in enumerate(received):
        os.dup2(each, above + number)
    os.closerange(3, above)
    for number, descriptor in enumerate(wanted):
        os.dup2(above + number, descriptor)
    os.closerange(above, above + len(wanted))
    os.environ.clear()
    os.environ.update(job["env"])
    first, *others = job["arguments"]
    if first == "-m":
        module, *others = others
        sys.argv = [module, *others]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *others]
        runpy.run_path(first, run_name="__main__")


def main(descriptor: int) -> None:
    """Import the libraries, and be the parent of whatever is asked for."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1
    assert "twisted.internet.reactor" not in sys.modules
    gc.freeze()
    task = serve(socket.socket(fileno=descriptor))
    if task:
        run(*task)


if __name__ == "__main__":
    main(int(sys.argv[1]))
