"""A child process of the tests: its output goes to a file, its end is certain."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kit import reaper

ROOT = Path(__file__).resolve().parents[2]


class Child:
    """One running child process."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        cwd: Path = ROOT,
    ) -> None:
        """Start `command` in the root of the repository, or in `cwd`; its output is appended to `log`."""
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(command),
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                # Ctrl-C in the terminal is for the tests, which then end their children in order.
                start_new_session=True,
            )
        reaper.watch(self.process.pid)

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
