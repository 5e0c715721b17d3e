"""Pages in a real browser: a site to visit, its visitors, and all that a page receives and complains of."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, WebSocket, expect

from tests.kit import chromium
from tests.kit.servers import Server
from tests.kit.site import Site

PASSWORD = "a password of the tests"


@pytest.fixture(scope="session")
def page_site() -> Iterator[Site]:
    """A site with Redis and users to log in as; of some a test ends the session or the account."""
    with Site(redis=True, env={"DEBUG": "1"}) as site:
        for name in ("demo", "other", "leaver", "gone", "asker", "plain"):
            site.create_user(name, password=PASSWORD)
        yield site


@pytest.fixture(scope="session")
def page_server(page_site: Site) -> Server:
    """A server that no test ends."""
    return page_site.start("daphne")


@pytest.fixture(scope="session")
def session_of(page_site: Site) -> Callable[[str], str]:
    """The key of a user's session; that of the first time if there was one."""
    return cache(page_site.session_key)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium, of one module only: while it runs, no other test can run an event loop."""
    with chromium.launch() as browser:
        yield browser


class Visit:
    """The page in a context of its own, and all that it received, asked for and complained of."""

    def __init__(self, context: BrowserContext, server: Server, path: str = "/") -> None:
        """Open it."""
        self.context = context
        self.page = context.new_page()
        self.sockets: list[str] = []
        self.requests: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.forgiven = r"(?!)"  # matches nothing
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complain(said.text))
        self.page.on("pageerror", lambda error: self.complain(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", self._listen)
        self.page.goto(f"{server.url}{path}")
        self.connection = self.page.locator("#connection")

    def complain(self, text: str) -> None:
        """Keep what the browser's console says."""
        self.complaints.append(text)

    def log_in(self, user: str) -> None:
        """Fill in the form that came instead of the page."""
        self.page.get_by_label("Username").fill(user)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", name="My tasks")).to_be_visible()

    def wait_state(self, state: str, seconds: float = 15) -> None:
        """Wait until the page says that its connection is in that state."""
        expect(self.connection).to_have_attribute("data-state", state, timeout=seconds * 1000)

    def wait_frame(self, kind: str, seconds: float = 15) -> dict[str, Any]:
        """Wait until a frame of that type has come; return the first."""
        deadline = time.monotonic() + seconds
        while kind not in [frame["type"] for frame in self.frames]:
            assert time.monotonic() < deadline, f"no {kind}: {self.frames}"
            self.page.wait_for_timeout(20)  # lets the browser's news in
        return next(frame for frame in self.frames if frame["type"] == kind)

    def row(self, task_id: str) -> Locator:
        """The element of a task."""
        return self.page.locator(f'task-list task-progress[task-id="{task_id}"]')

    def expect_progress(self, task_id: str, percent: int, seconds: float = 15) -> None:
        """Wait until the task's bar stands there."""
        bar = self.row(task_id).get_by_role("progressbar")
        expect(bar).to_have_attribute("aria-valuenow", str(percent), timeout=seconds * 1000)

    def last(self, task_id: str) -> dict[str, Any]:
        """The last state of a task that it received."""
        return [f["data"] for f in self.frames if f.get("task_id") == task_id and "data" in f][-1]

    def _listen(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)
        socket.on("framereceived", lambda payload: self.frames.append(json.loads(payload)))


@pytest.fixture
def visit(
    browser: Browser, session_of: Callable[[str], str], page_server: Server
) -> Iterator[Callable[..., Visit]]:
    """Open pages: `visit()`, or `visit(user=…, server=…, path=…)`; none may complain."""
    opened: list[Visit] = []
    with ExitStack() as contexts:

        def open_page(user: str | None = "demo", server: Server = page_server, path: str = "/") -> Visit:
            context = browser.new_context(timezone_id="Asia/Kolkata", locale="en-GB")
            contexts.enter_context(context)
            if user:
                cookie = {"name": "sessionid", "value": session_of(user), "url": server.url}
                context.add_cookies([cookie])  # type: ignore[list-item]
            opened.append(Visit(context, server, path))
            return opened[-1]

        yield open_page
    for one in opened:
        assert [text for text in one.complaints if not re.search(one.forgiven, text)] == []
