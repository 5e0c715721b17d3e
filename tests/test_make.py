"""The two commands of the README: what `make run` and `make test` do, first and later."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.ports import listen
from tests.kit.process import ROOT


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder, without what a make around the tests handed down."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean checkout, as far as make looks at it."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_first_command_installs_and_later_ones_do_not(checkout: Path) -> None:
    """Whichever comes first makes .venv; it is made again when the requirements change, or half made."""
    for target in ("run", "test"):
        assert "-m venv .venv" in make(checkout, "--dry-run", target).stdout
    (checkout / ".venv").mkdir()
    assert "pip install" in make(checkout, "--dry-run", "run").stdout
    ready = checkout / ".venv" / ".ready"
    ready.touch()
    assert "pip install" not in make(checkout, "--dry-run", "run").stdout
    os.utime(ready, (0, 0))
    assert "pip install" in make(checkout, "--dry-run", "run").stdout


def test_an_old_python_is_refused_before_anything_is_made(checkout: Path) -> None:
    """The error says which version is needed and how to name another Python."""
    old = checkout / "python3.10"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); $2"\n')
    old.chmod(0o755)
    done = make(checkout, "run", f"PYTHON={old}")
    assert done.returncode != 0
    assert "Python 3.11 or later is needed: make PYTHON=…" in done.stderr
    assert not (checkout / ".venv").exists()


def test_make_run_is_the_default_and_passes_the_port_on(tmp_path: Path) -> None:
    """`make PORT=…` starts the demonstration there; its error is the command's error."""
    ready = tmp_path / "ready"
    ready.touch()
    with listen() as listener:
        port = listener.getsockname()[1]
        done = make(ROOT, f"PORT={port}", f"BIN={Path(sys.executable).parent}", f"READY={ready}")
    assert done.returncode != 0
    assert f"Error: Port {port} is taken. End what uses it, or: make run PORT={port + 1}" in done.stderr
