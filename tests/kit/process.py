"""A child process of the tests: its output goes to a file, its end is certain."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kit import reaper
from tests.kit.warm import ROOT as ROOT
from tests.kit.warm import Warm, can_be_warm

# `nohup`, a `&` in a script and some runners start us with Ctrl-C ignored, which every child would inherit;
# what is handled here is the default there.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(command: Sequence[str], env: Mapping[str, str], input: str, timeout: float) -> tuple[int, str, str]:
    """Run `command` in the root of the repository to its end; return exit code, output and errors.

    Raises `subprocess.TimeoutExpired`, with the process ended, after `timeout` seconds.
    """
    with ExitStack() as files:
        standard = [files.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        standard[0].write(input.encode())
        standard[0].seek(0)
        process = _start(command, env, [file.fileno() for file in standard], warm=True)
        try:
            process.wait(timeout)
        finally:
            process.kill()
            code = process.wait()
        for file in standard:
            file.seek(0)
        return code, standard[1].read().decode(), standard[2].read().decode()


def _start(
    command: Sequence[str],
    env: Mapping[str, str] | None,
    standard: Sequence[int],
    pass_fds: Sequence[int] = (),
    cwd: Path = ROOT,
    warm: bool = False,
) -> "subprocess.Popen[bytes] | Warm":
    """Start it, warm where that is asked for and makes no difference; `standard`: input, output and error."""
    if warm and cwd == ROOT and env is not None and can_be_warm(command, env):
        return Warm(command, env, standard, pass_fds)
    return subprocess.Popen(
        list(command),
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=standard[0],
        stdout=standard[1],
        stderr=standard[2],
        pass_fds=pass_fds,
        # Ctrl-C in the terminal is for the tests, which then end their children in order.
        start_new_session=True,
    )


class Child:
    """One running child process; in a `with` block it is killed at the end, if it still runs."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        cwd: Path = ROOT,
        warm: bool = False,
    ) -> None:
        """Start `command` in the root of the repository, or in `cwd`; its output is appended to `log`.

        `warm`: with libraries that are imported already (`tests.kit.warm`).
        """
        self._log = log
        with log.open("ab") as output, open(os.devnull) as nothing:
            standard = [nothing.fileno(), output.fileno(), output.fileno()]
            self.process = _start(command, env, standard, pass_fds, cwd, warm)
        reaper.watch(self.process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def log(self) -> str:
        """What it has written so far, standard output and error together."""
        return self._log.read_text(errors="replace")

    def stop(self, timeout: float = 20) -> int:
        """Ask it to end (SIGTERM), kill it after `timeout` seconds; return its exit code."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            os.kill(self.pid, signal.SIGCONT)  # a paused process cannot take the SIGTERM
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """End it at once (SIGKILL): no code of its own runs any more."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open, nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def threads(self) -> int:
        """How many threads it has."""
        return int(self._status("Threads"))

    def rss(self) -> int:
        """How many bytes of memory it holds."""
        return int(self._status("VmRSS").split()[0]) * 1024

    def cpu(self) -> float:
        """How many seconds of processor time it has used, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, key: str) -> str:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return line.partition(":")[2].strip()
        raise AssertionError(f"process {self.pid} has ended:\n{self.log()[-2000:]}")
