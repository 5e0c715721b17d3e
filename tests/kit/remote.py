"""Another process of the site, a worker for example, that runs what a test tells it to."""

import asyncio
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kit.process import Child


class RemoteError(Exception):
    """The code raised an exception in the other process; the text is its traceback."""


class Remote:
    """A Django process that runs code on demand and keeps its variables from one piece to the next.

    An open transaction therefore stays open until the test goes on with it. Code runs as in
    `manage.py shell`: the models are there by name.
    """

    def __init__(self, env: Mapping[str, str], log: Path, timeout: float = 30) -> None:
        """Start the process; `timeout` is the deadline of each answer in seconds."""
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        with theirs:
            command = [sys.executable, "-m", "tests.kit.remote_child", str(theirs.fileno())]
            self.child = Child(command, log, env, pass_fds=[theirs.fileno()], warm=True)
        self._socket = ours
        self._stream = ours.makefile("rwb")

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.child.pid

    def run(self, code: str, **names: Any) -> Any:
        """Run `code` there with `names` as variables; return its last line's value, if it has one.

        Names and value travel as JSON: ids and times come back as text. Raises RemoteError if the
        code raises.
        """
        self.submit(code, **names)
        return self.result()

    async def arun(self, code: str, **names: Any) -> Any:
        """Do what `run` does without blocking the loop."""
        return await asyncio.to_thread(self.run, code, **names)

    def submit(self, code: str, **names: Any) -> None:
        """Begin running `code` and do not wait: to kill the process meanwhile, or let two race."""
        self._stream.write(json.dumps({"code": code, "names": names}, default=str).encode() + b"\n")
        self._stream.flush()

    def result(self) -> Any:
        """Wait for what `submit` began, and return or raise what came of it."""
        try:
            line = self._stream.readline()
        except OSError as error:
            raise AssertionError(f"no answer from the remote process:\n{self.log()}") from error
        if not line:
            raise AssertionError(f"the remote process ended:\n{self.log()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RemoteError(answer["error"])
        return answer["value"]

    def log(self) -> str:
        """What it has printed and logged."""
        return self.child.log()

    def kill(self) -> None:
        """End it at once (SIGKILL), in the middle of whatever it does."""
        self.child.kill()
        self._close()

    def stop(self) -> int:
        """Let it end in order, with its exit handlers, as the pipe closes; return its exit code."""
        self._close()
        self.child.process.wait(timeout=20)
        return self.child.stop()

    def _close(self) -> None:
        self._stream.close()
        self._socket.close()
