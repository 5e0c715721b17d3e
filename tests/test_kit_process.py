"""The kit's children: they end with their test, and hear Ctrl-C however the tests were started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.process import ROOT, Child

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
#: What an import of the kit makes of Ctrl-C for its children.
ASK = "import signal, subprocess, sys; import tests.kit.process; "
ASK += "code = 'import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)'; "
ASK += "subprocess.run([sys.executable, '-c', code])"


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
