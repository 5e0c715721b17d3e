"""The kit's children: they end with their test, and hear Ctrl-C however the tests were started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.process import ROOT, Child
from tests.kit.warm import Warm

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
#: What an import of the kit makes of Ctrl-C for its children.
ASK = "import signal, subprocess, sys; import tests.kit.process; "
ASK += "code = 'import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)'; "
ASK += "subprocess.run([sys.executable, '-c', code])"

#: Tells how it was started, and waits to be told how to end; run by `-m timeit`, a module that runs a text.
TELL = """
import json, os, signal, socket
line = socket.socket(fileno={descriptor})
held = sorted(int(name) for name in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + name))
print('to the log')
line.send(json.dumps({{
    'asked': os.environ['ASKED'], 'foreign': os.environ.get('FOREIGN'), 'cwd': os.getcwd(), 'held': held,
    'leads': os.getsid(0) == os.getpid(), 'ctrl_c': signal.getsignal(2) is signal.default_int_handler,
}}).encode())
os._exit(int(line.recv(10)))
"""


def test_a_child_ends_with_its_block(tmp_path: Path) -> None:
    """Whether the block ends as it should or by an assertion; one that has ended by itself is no error."""
    with Child(SLEEP, tmp_path / "log") as child:
        assert child.running
    assert not child.running
    with pytest.raises(AssertionError, match="wrong"), Child(SLEEP, tmp_path / "log") as failed:
        raise AssertionError("wrong")
    assert not failed.running
    with Child([sys.executable, "-c", "pass"], tmp_path / "log") as ended:
        assert ended.process.wait(60) == 0


def test_children_hear_ctrl_c_though_we_were_started_without_it() -> None:
    """As by `nohup`, or with a `&` in a script."""
    command = ["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", ASK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("end", [0, 7, -signal.SIGTERM, -signal.SIGKILL])
def test_a_child_that_is_started_warm_is_like_a_fresh_one(
    tmp_path: Path, warm: bool, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment, folder, descriptors, session, signals, output and exit code are what was asked for."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "ASKED": "for"}
    monkeypatch.setenv("FOREIGN", "none of its business")
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with ours, theirs:
        number = theirs.fileno()
        code = TELL.format(descriptor=number)
        command = [sys.executable, "-m", "timeit", "-n", "1", "-r", "1", code]
        with Child(command, tmp_path / "log", env, [number], warm=warm) as child:
            assert isinstance(child.process, Warm) == warm
            told = json.loads(ours.recv(10_000))
            with pytest.raises(subprocess.TimeoutExpired):
                child.process.wait(0)
            assert child.running
            if end < 0:
                child.process.send_signal(-end)
            else:
                ours.send(str(end).encode())
            assert child.process.wait(60) == end
            assert not child.running
            assert child.log() == "to the log\n"
    assert told.pop("held") == [0, 1, 2, number]
    assert told == {"asked": "for", "foreign": None, "cwd": str(ROOT), "leads": True, "ctrl_c": True}
