"""The page in a real browser: it moves, it says when it is cut off, it comes back without a repeat."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, WebSocket, expect

from tests.kit import chromium
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.kit.view import View

PASSWORD = "a password of the tests"
CREATE = "task = Task.objects.create(name=name, owner=User.objects.get(username='demo')); str(task.pk)"

# The document is read and the page's module has not run yet.
REPLACE_TOKEN = """
document.addEventListener("readystatechange", () => {
  const data = document.getElementById("connection-data");
  if (document.readyState !== "interactive" || data === null) return;
  data.textContent = JSON.stringify({ ...JSON.parse(data.textContent), token });
});
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    with chromium.launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site with Redis and two users, of whom one will have to go."""
    with Site(redis=True, env={"DEBUG": "1"}) as site:
        for name in ("demo", "leaver"):
            site.create_user(name, password=PASSWORD)
        yield site


@pytest.fixture(scope="module")
def server(site: Site) -> Server:
    """A server that no test ends."""
    return site.start("daphne")


@pytest.fixture(scope="module")
def log_in(browser: Browser, server: Server) -> Callable[[str], Any]:
    """Log a user in through the form and return his cookies; those of the first time if there was one."""

    @cache
    def cookies(user: str) -> Any:
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(server.url)
            page.get_by_label("Username").fill(user)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_role("heading", name="My tasks")).to_be_visible()
            return context.storage_state()

    return cookies


class Visit:
    """The page in a context of its own, and all that it received and complained of."""

    def __init__(self, context: BrowserContext, server: Server, token: str | None = None) -> None:
        """Open it; `token` takes the place of the one that the server put into the page."""
        self.page = context.new_page()
        self.sockets: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.forgiven = r"(?!)"  # matches nothing
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complain(said.text))
        self.page.on("pageerror", lambda error: self.complain(str(error)))
        self.page.on("websocket", self._listen)
        if token:
            self.page.add_init_script(f"const token = {json.dumps(token)};\n{REPLACE_TOKEN}")
        self.page.goto(server.url)
        self.connection = self.page.locator("#connection")

    def complain(self, text: str) -> None:
        """Keep what the browser's console says."""
        self.complaints.append(text)

    def wait_state(self, state: str, seconds: float = 15) -> None:
        """Wait until the page says that its connection is in that state."""
        expect(self.connection).to_have_attribute("data-state", state, timeout=seconds * 1000)

    def wait_frame(self, kind: str, seconds: float = 15) -> None:
        """Wait until a frame of that type has come."""
        deadline = time.monotonic() + seconds
        while kind not in [frame["type"] for frame in self.frames]:
            assert time.monotonic() < deadline, f"no {kind}: {self.frames}"
            self.page.wait_for_timeout(20)  # lets the browser's news in

    def row(self, task_id: str) -> Locator:
        """The element of a task."""
        return self.page.locator("li.task").filter(has=self.page.locator(f"#task-{task_id}"))

    def expect_progress(self, task_id: str, percent: int, seconds: float = 1) -> None:
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
def visit(browser: Browser, log_in: Callable[[str], Any], server: Server) -> Iterator[Callable[..., Visit]]:
    """Open pages: `visit()`, or `visit(user=…, server=…, token=…)`; none may complain."""
    opened: list[Visit] = []
    with ExitStack() as contexts:

        def open_page(user: str = "demo", server: Server = server, token: str | None = None) -> Visit:
            context = browser.new_context(
                storage_state=log_in(user), timezone_id="Asia/Kolkata", locale="en-GB"
            )
            opened.append(Visit(contexts.enter_context(context), server, token))
            return opened[-1]

        yield open_page
    for one in opened:
        assert [text for text in one.complaints if not re.search(one.forgiven, text)] == []


@pytest.mark.requirement("F1", "S10")
def test_a_task_of_another_process_moves_within_a_second(site: Site, visit: Callable[..., Visit]) -> None:
    """It appears, its bar follows each report, and it ends with its result; no reload, no poll."""
    page = visit()
    page.wait_state("live")
    worker = site.remote()
    task = worker.run(CREATE, name="Import of the orders")
    expect(page.row(task)).to_contain_text("Waiting", timeout=1000)
    worker.run("task.start()")
    for percent in (20, 40, 60):
        worker.run("task.report(percent, message='Reading')", percent=percent)
        page.expect_progress(task, percent)
    worker.run("task.complete(result={'rows': 1204})")
    expect(page.row(task)).to_contain_text("Completed", timeout=1000)
    expect(page.row(task)).to_contain_text("rows 1,204")


@pytest.mark.requirement("K3")
def test_a_server_that_is_killed_costs_the_page_nothing(site: Site, visit: Callable[..., Visit]) -> None:
    """The page says that it reconnects, resumes at its cursor, and shows each change once."""
    server, worker = site.start("daphne"), site.remote()
    page = visit(server=server)
    page.forgiven = "ERR_CONNECTION_REFUSED"  # the browser reports each attempt while nobody listens
    page.wait_state("live")
    task = worker.run(CREATE, name="Export")
    worker.run("task.start(); task.report(30)")
    page.expect_progress(task, 30)
    server.kill()
    page.wait_state("reconnecting")
    expect(page.connection).to_contain_text("Reconnecting… Shown as of")
    worker.run("task.report(70); task.fail(error='The disk is full.')")
    other = worker.run(CREATE, name="Made meanwhile")
    page.expect_progress(task, 30)
    site.start("daphne", port=server.port)
    page.wait_state("live", seconds=30)
    expect(page.row(task)).to_contain_text("The disk is full.")
    expect(page.row(other)).to_contain_text("Waiting")
    view = View().feed_all(page.frames)
    assert view.violations == []
    assert [f["recovered"] for f in page.frames if f["type"] == "subscribed" and "recovered" in f] == [True]
    rows = worker.run("{str(t.pk): (t.version, t.status) for t in Task.objects.all()}")
    assert {pk: [row["version"], row["status"]] for pk, row in view.rows.items()} == rows
    expect(page.page.locator("li.task")).to_have_count(len(rows))


@pytest.mark.requirement("K17")
def test_times_are_the_databases_in_the_readers_own_zone(site: Site, visit: Callable[..., Visit]) -> None:
    """A time read by JavaScript is the database's to the millisecond; the page shows it as local."""
    page = visit()
    page.wait_state("live")
    worker = site.remote()
    task = worker.run(CREATE, name="Report")
    worker.run("task.start(); task.complete()")
    expect(page.row(task)).to_contain_text("Completed")
    for field in ("created_at", "started_at", "finished_at"):
        stored = datetime.fromisoformat(worker.run(f"Task.objects.get(pk=pk).{field}.isoformat()", pk=task))
        parsed = page.page.evaluate("text => Date.parse(text)", page.last(task)[field])
        assert parsed == (stored - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    started = datetime.fromisoformat(page.last(task)["started_at"]).astimezone(ZoneInfo("Asia/Kolkata"))
    expect(page.row(task)).to_contain_text(f"Started {started:%H:%M:%S}")


def test_markup_in_a_task_is_text(site: Site, visit: Callable[..., Visit]) -> None:
    """A name, a message and an error with markup are shown as they were written, and do nothing."""
    markup = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    page = visit()
    page.wait_state("live")
    worker = site.remote()
    task = worker.run(CREATE, name=markup)
    worker.run("task.start(); task.report(1, phase=markup, message=markup)", markup=markup)
    expect(page.row(task).locator("[data-field=message]")).to_have_text(f"{markup}: {markup}")
    worker.run("task.fail(error=markup)", markup=markup)
    expect(page.row(task).locator("[data-field=error]")).to_have_text(markup)
    expect(page.row(task).get_by_role("heading")).to_have_text(markup)
    expect(page.page.locator("#tasks script, #tasks img")).to_have_count(0)
    assert page.page.evaluate("window.hit === undefined")


def test_the_page_fits_a_narrow_screen(site: Site, visit: Callable[..., Visit]) -> None:
    """Long names wrap, long messages are cut, and nothing scrolls sideways on 320 pixels."""
    page = visit()
    page.page.set_viewport_size({"width": 320, "height": 640})
    worker = site.remote()
    task = worker.run(CREATE, name="orders-of-all-regions/" * 8)
    worker.run("task.start(); task.report(1, message='reading the rows of the orders ' * 9)")
    expect(page.row(task)).to_contain_text("reading")
    assert page.page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.row(task).bounding_box()["width"] <= 320 - 2 * 20


def test_a_refused_token_is_renewed_once(site: Site, visit: Callable[..., Visit]) -> None:
    """Closed with 4401, the page asks for a new token and connects with it."""
    page = visit(token=site.token("demo", lifetime=-10))
    page.wait_state("live")
    assert len(page.sockets) == 2
    assert [frame["type"] for frame in page.frames[:2]] == ["error", "connected"]
    assert page.frames[0]["code"] == "token_expired"


def test_a_token_is_renewed_before_it_ends(site: Site, visit: Callable[..., Visit]) -> None:
    """On the same socket: the page stays live, and the server accepts the new token."""
    page = visit(token=site.token("demo", lifetime=8))
    page.wait_state("live")
    page.wait_frame("authenticated")
    task = site.remote().run(CREATE, name="After the renewal")
    expect(page.row(task)).to_contain_text("Waiting")
    assert len(page.sockets) == 1


def test_a_session_that_has_ended_is_said(site: Site, visit: Callable[..., Visit]) -> None:
    """Who may not come back gets no new token: the page says that it is disconnected, and why."""
    page = visit(user="leaver")
    page.forgiven = "401"  # the answer to its question for a token
    page.wait_state("live")
    site.remote().run("user = User.objects.get(username='leaver'); user.is_active = False; user.save()")
    page.wait_state("denied")
    expect(page.connection).to_contain_text("Disconnected. The user is no longer active.")
    assert len(page.sockets) == 1
