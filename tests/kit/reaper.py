"""Ends what the tests started, however the test process ends.

A `finally` and `atexit` run neither at SIGTERM nor at SIGKILL. So one small helper process reads
the ids of our children from a pipe: when the pipe closes the test process is gone, and what is left
of its children is killed, its folder removed.
"""

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


def started_at(pid: int) -> str | None:
    """The start time of a process in ticks since boot, or None when there is no such process.

    An id alone may belong to a new process by now.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Field 22 of proc(5), the 20th after the name, which stands in parentheses and may hold spaces.
    return stat.rpartition(")")[2].split()[19]


@functools.cache
def _start() -> "tuple[Path, subprocess.Popen[str]]":
    folder = Path(tempfile.mkdtemp(prefix="realtime-tests-"))
    reaper = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder)],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C at the terminal must not end it before its work
    )
    atexit.register(_finish, reaper)
    return folder, reaper


def _finish(reaper: "subprocess.Popen[str]") -> None:
    assert reaper.stdin is not None
    reaper.stdin.close()
    reaper.wait()


def workspace() -> Path:
    """This test process's own temporary folder; it is removed when the process ends."""
    folder, _ = _start()
    return folder


def watch(pid: int) -> None:
    """Have the process `pid`, started by us, killed at the latest when this process ends."""
    _, reaper = _start()
    pipe = reaper.stdin
    assert pipe is not None
    pipe.write(f"{pid}\n")
    pipe.flush()


def main(folder: str) -> None:
    """Collect process ids until the pipe closes, then end them and remove the folder."""
    watched: list[tuple[int, str | None]] = []
    for line in sys.stdin:
        watched.append((int(line), started_at(int(line))))
    for pid, start in watched:
        if start is not None and started_at(pid) == start:
            with contextlib.suppress(ProcessLookupError):  # it may end by itself in this moment
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
