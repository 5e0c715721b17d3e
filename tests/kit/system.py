"""What the tests need of the system and no wheel brings, installed by `python -m tests.kit.system`."""

import os
import shutil
import subprocess
import sys

from tests.kit import chromium, services


def missing() -> list[str]:
    """The names of Debian's packages that this machine lacks."""
    lacks = {chromium.PACKAGE: chromium.find() is None, "redis-server": services.redis_command() is None}
    return [name for name, lacking in lacks.items() if lacking]


def install() -> None:
    """Install it where that needs no answer from anybody; where it fails, the tests say so."""
    apt = shutil.which("apt-get")
    names = missing()
    if not names or apt is None or not _is_root():
        return
    sys.stderr.write(f"Installing {' and '.join(names)} for the tests, once…\n")
    # Debian would start a server of its own, which nobody asked for.
    get = [*_as_root(), "RUNLEVEL=1", apt, "-qq"]
    install = [*get, "install", "--yes", "--no-install-recommends"]
    _told(subprocess.run([*get, "update"], capture_output=True, check=False))
    done = subprocess.run([*install, *names], capture_output=True, check=False)
    if done.returncode and chromium.PACKAGE in names:
        # An older archive has it with windows only.
        names = ["chromium" if name == chromium.PACKAGE else name for name in names]
        done = subprocess.run([*install, *names], capture_output=True, check=False)
    _told(done)


def _told(done: "subprocess.CompletedProcess[bytes]") -> None:
    """Pass on why a command failed."""
    if done.returncode:
        sys.stderr.buffer.write(done.stderr)


def _as_root() -> list[str]:
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    return [*sudo, "env", "DEBIAN_FRONTEND=noninteractive"]


def _is_root() -> bool:
    try:
        return subprocess.run([*_as_root(), "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False  # no sudo


if __name__ == "__main__":
    install()
