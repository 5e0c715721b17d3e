"""docs/integrate.md, followed to the letter with the wheel installed: a stranger's project comes alive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.kit.ports import free_port
from tests.kit.process import ROOT, Child
from tests.kit.waiting import eventually
from tests.kit.walkthrough import Reader, new_environment, steps

PASSWORD = "a password of the tests"
DOCUMENT = ROOT / "docs" / "integrate.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a release would hold it, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120, env=dict(os.environ))
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_app_and_nothing_else(wheel: Path) -> None:
    """Every file of `realtime/` that is kept in the repository; no project, no tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "realtime"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in listed if (ROOT / name).exists()}


class Stranger(Reader):
    """Follows the document up to the server, which then runs on a port of ours."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True, timeout=120)
        pins = re.sub(r"\[[^\]]*\]|\s*#.*", "", (ROOT / "requirements.txt").read_text())
        (folder / "pins.txt").write_text(pins)
        links = f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}"
        super().__init__(
            folder,
            new_environment(
                folder,
                PIP_FIND_LINKS=links.strip(),
                PIP_CONSTRAINT=str(folder / "pins.txt"),
                DJANGO_SUPERUSER_PASSWORD=PASSWORD,
            ),
        )
        self.log = folder / "server.log"
        self.port = free_port()
        self.server: Child | None = None
        self.work: list[str] = []

    def seen_to(self, command: str) -> bool:
        """Run in our way what would wait for a key or never end; keep the work for later."""
        if "createsuperuser" in command:
            self.run(f"{command} --noinput")
        elif "runserver" in command:
            self.serve()
        elif "import_customers" in command:
            self.work.append(command)
        else:
            return False
        return True

    def serve(self) -> None:
        """Start the server and wait until it answers."""
        python = str(Path(self.env["HOME"]) / "venv" / "bin" / "python")
        command = [python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{self.port}"]
        self.server = Child(command, self.log, self.env, cwd=self.folder)
        eventually(self.answers, 60, message="the server of the new project")

    def answers(self) -> bool:
        """Whether the server is alive."""
        assert self.server is not None
        assert self.server.running, self.server.log()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Stranger]:
    """Somebody who has done all that the document says, but for the work."""
    stranger = Stranger(tmp_path_factory.mktemp("stranger"), wheel)
    try:
        for step in steps(DOCUMENT):
            stranger.follow(step, unless=stranger.seen_to)
        yield stranger
    finally:
        if stranger.server is not None:
            stranger.server.kill()


@pytest.fixture
def page(browser: Browser, stranger: Stranger) -> Iterator[Page]:
    """The page of the document, logged in to."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{stranger.port}/imports/")
        page.get_by_label("Username").fill("alice")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Imports")).to_be_visible(timeout=30_000)
        yield page


def test_a_new_project_that_follows_the_document_shows_a_task_live(stranger: Stranger, page: Page) -> None:
    """A command begins its work after the page was opened: its bar appears, moves, and ends."""
    expect(page.locator("connection-status")).to_contain_text("Live", timeout=30_000)
    command = ["/bin/sh", "-c", stranger.work[0]]
    with Child(command, stranger.log, stranger.env, cwd=stranger.folder) as work:
        bar = page.get_by_role("progressbar").first
        expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"), timeout=60_000)
        expect(page.locator("task-list")).to_contain_text("Completed", timeout=60_000)
        assert work.process.wait(timeout=30) == 0


def test_the_checks_find_nothing_to_say(stranger: Stranger) -> None:
    """What the document lets a project set is enough."""
    assert "System check identified no issues" in stranger.run("python manage.py check")


def test_no_migration_of_the_app_is_missing(stranger: Stranger) -> None:
    """With the project's own settings, the app's models are as its migrations say."""
    assert "No changes" in stranger.run("python manage.py makemigrations --check --dry-run realtime")
