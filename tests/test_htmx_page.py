"""docs/htmx.md followed to the letter: its pages in a browser, under a strict policy, over a restart."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.kit.ports import free_port
from tests.kit.process import ROOT, Child
from tests.kit.waiting import eventually
from tests.kit.walkthrough import Reader, steps

PYTHON = sys.executable
#: What the document does in three commands, in one process.
BEGIN = "from django.contrib.auth.models import User; from django.core.management import call_command; "
BEGIN += "call_command('migrate', verbosity=0); "
BEGIN += "User.objects.create_superuser('alice', password='a password of the tests')"
#: Browsers come back soon; else nothing else is set that the document does not set.
HASTE = 'REALTIME = {"SSE_RETRY_MS": 300, "LOG_CHECK_INTERVAL": 0.2}\n'
#: Keeps the page's event sources where the test can look at them.
WATCH = "window.sources = []; const S = EventSource; window.EventSource = function (...given) {"
WATCH += " const made = new S(...given); window.sources.push(made); return made; };"
WATCH += " window.EventSource.CLOSED = S.CLOSED;"


class Project(Reader):
    """The project of the documents, which runs on a port of ours."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([PYTHON, "-m", "django", "startproject", "mysite"], cwd=folder, check=True, timeout=60)
        super().__init__(folder / "mysite", {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)})
        for document in ("integrate.md", "htmx.md"):
            for step in steps(ROOT / "docs" / document):
                if step.verb != "run":
                    self.follow(step, unless=lambda command: True)
        (self.folder / "imports" / "__init__.py").touch()
        settings = self.folder / "mysite" / "settings.py"
        settings.write_text(settings.read_text() + HASTE)
        static = self.folder / "imports" / "static"
        static.mkdir()
        for copy in (ROOT / "tests" / "kit" / "htmx").glob("*.js"):
            shutil.copy(copy, static)
        self.run(f'{PYTHON} manage.py shell -v 0 -c "{BEGIN}"')
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.children: list[Child] = []

    def start(self, *command: str) -> Child:
        """Start a command of manage.py."""
        child = Child([PYTHON, "manage.py", *command], self.folder / "log", self.env, cwd=self.folder)
        self.children.append(child)
        return child

    def serve(self) -> Child:
        """Start the server, as the document does, and wait until it answers."""
        server = self.start("runserver", "--noreload", f"127.0.0.1:{self.port}")
        eventually(self.answers, 60, message="the server")
        return server

    def answers(self) -> bool:
        """Whether a server listens."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return True
        except OSError:
            return False

    def end(self) -> None:
        """End what still runs."""
        for child in self.children:
            child.kill()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The project."""
    project = Project(tmp_path)
    try:
        yield project
    finally:
        project.end()


def strict(route: Route) -> None:
    """Let a page come with a policy that allows nothing inline and nothing from elsewhere."""
    if route.request.resource_type != "document":
        route.continue_()
        return
    answer = route.fetch(max_redirects=0)
    route.fulfill(
        response=answer, headers={**answer.headers, "content-security-policy": "default-src 'self'"}
    )


@pytest.fixture
def page(browser: Browser, project: Project) -> Iterator[Page]:
    """The page of the document, served and logged in to; it must end without an error."""
    project.serve()
    errors: list[str] = []
    with browser.new_context() as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto(f"{project.url}/imports/")
        page.get_by_label("Username").fill("alice")
        page.get_by_label("Password").fill("a password of the tests")
        page.route("**/*", strict)
        page.get_by_role("button", name="Log in").click()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "policy" in said.text.lower() else None)
        yield page
    assert errors == []


def value(page: Page) -> float:
    """Where the newest bar stands."""
    return float(page.locator("progress").first.get_attribute("value") or 0)


def test_the_documents_pages_live_and_survive_a_restart(project: Project, page: Page) -> None:
    """A task appears by itself and its bar moves; the server is replaced meanwhile; the end is seen."""
    expect(page.get_by_text("No imports yet.")).to_be_visible()
    work = project.start("import_customers", "alice")
    expect(page.locator("progress")).to_have_count(1, timeout=60_000)
    begin = value(page)
    eventually(lambda: value(page) > begin, 60, message="the bar moves")
    # In front of a server that is away stands a proxy: the browser gives up, the extension begins anew.
    page.route("**/events?*", lambda route: route.fulfill(status=503))
    project.children[0].kill()
    page.wait_for_function("() => window.sources.length > 1", timeout=60_000)
    eventually(lambda: not work.running, 120, message="the work ends without a server")
    project.serve()
    page.unroute("**/events?*")
    expect(page.get_by_text("Completed")).to_be_visible(timeout=60_000)
    expect(page.locator("progress")).to_have_count(1)
    assert value(page) == 100

    task_id = page.locator("[sse-swap]").get_attribute("sse-swap").removeprefix("task-")  # type: ignore[union-attr]
    page.goto(f"{project.url}/imports/{task_id}/")
    expect(page.get_by_text("Completed")).to_be_visible()
    # It was over before the page was: ``done`` says so, and the browser does not come back.
    page.wait_for_function("() => window.sources.length === 1 && window.sources[0].readyState === 2")
