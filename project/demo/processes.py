"""Child processes of the demonstration: each in a group of its own, all ended together."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress


class Children:
    """Starts processes and ends every one that it started; use it in a `with` block."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process in its own group, so that Ctrl-C reaches it through us, once."""
        self._processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)

    def dead(self) -> str | None:
        """Which child has ended, in words; None while all live."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                return f"the {name} ended with exit code {code}"
        return None

    def end(self, patience: float = 10) -> None:
        """Ask every group to end, wait up to `patience` seconds for all, then kill what is left."""
        deadline = time.monotonic() + patience
        self._signal(signal.SIGTERM)
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
        self._signal(signal.SIGKILL)  # also what a child started and left behind
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
