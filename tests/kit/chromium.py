"""A Chromium for the browser tests: the system's, installed by `python -m tests.kit.chromium`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find() -> str | None:
    """The path of the browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launch() -> Iterator[Browser]:
    """A running browser; AssertionError says what to install when there is none."""
    path = find()
    assert path, "The browser tests need Chromium: apt-get install chromium, or make test as root."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def install() -> None:
    """Install it where that needs no answer from anybody; where it fails, the tests say so."""
    apt = shutil.which("apt-get")
    if find() or apt is None or not _is_root():
        return
    sys.stderr.write("Installing Chromium for the browser tests, once…\n")
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run([*_as_root(), apt, "-qq", *command], capture_output=True, check=False)
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
