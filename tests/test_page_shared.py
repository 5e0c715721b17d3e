"""All tabs of a browser share one connection; when the tab that holds it goes, the others miss nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page

from tests import scripted
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.kit.waiting import eventually
from tests.pages import Visit
from tests.scripted import CREATE, SAVES

TABS = 7


@pytest.fixture(scope="module")
def quiet_server(page_site: Site) -> Iterator[Server]:
    """A server that nobody else is connected to."""
    server = page_site.start("uvicorn")
    yield server
    server.stop()


def connections(server: Server) -> int:
    """How many connections the server says that it has."""
    with urlopen(f"{server.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    open_now = [line for line in lines if line.startswith("realtime_connections_open{")]
    return int(sum(float(line.split()[-1]) for line in open_now))


class Tabs:
    """Tabs of one browser, each with a client."""

    def __init__(self, first: Visit, number: int, **options: Any) -> None:
        """Open them; the first one that is given is one of them."""
        self.sockets: list[Page] = []
        self.first = first
        first.forgiven = scripted.NO_ICON
        self.pages = [self.open(**options) for _ in range(number)]

    def open(self, **options: Any) -> Page:
        """Open one more."""
        page = self.first.context.new_page()
        page.on("websocket", lambda _: self.sockets.append(page))
        page.on("pageerror", lambda error: self.first.complain(str(error)))
        page.goto(self.first.page.url)
        scripted.start(page, **options)
        return page


@pytest.mark.requirement("K18")
def test_seven_tabs_share_one_connection(
    page_site: Site, quiet_server: Server, visit: Callable[..., Visit]
) -> None:
    """The server counts one; each tab shows each change once, also when the tab that held it is closed."""
    tabs = Tabs(visit(server=quiet_server, path=scripted.BLANK), TABS)
    for page in tabs.pages:
        scripted.wait_live(page)
    assert connections(quiet_server) == 1
    assert len(tabs.sockets) == 1
    worker = page_site.remote()
    task = worker.run(CREATE, name="Seen by seven")
    for page in tabs.pages:
        scripted.wait_version(page, task, 1)
    leader = tabs.sockets[0]
    leader.close()
    version = worker.run(SAVES, saves=50)
    others = [page for page in tabs.pages if page is not leader]
    for page in others:
        scripted.wait_version(page, task, version)
        assert scripted.versions(page, task) == list(range(1, version + 1))
        scripted.wait_live(page)
    assert len(tabs.sockets) == 2
    eventually(lambda: connections(quiet_server) == 1, 15)


def test_a_tab_that_holds_the_connection_and_hangs_is_replaced(
    page_site: Site, quiet_server: Server, visit: Callable[..., Visit]
) -> None:
    """Another takes its place; the one that hung follows it, and both go on without a repeat."""
    tabs = Tabs(visit(server=quiet_server, path=scripted.BLANK), 1)
    scripted.wait_live(tabs.pages[0])
    worker = page_site.remote()
    task = worker.run(CREATE, name="Handed over")
    scripted.wait_version(tabs.pages[0], task, 1)
    impatient = tabs.open(timing={"leader": 1_000})
    impatient.wait_for_function("() => client.tasks.size > 0", timeout=15_000)
    with impatient.expect_event("websocket", timeout=20_000):
        pass
    version = worker.run(SAVES, saves=20)
    for page in (tabs.pages[0], impatient):
        scripted.wait_version(page, task, version)
    assert scripted.versions(tabs.pages[0], task) == list(range(1, version + 1))
    assert scripted.versions(impatient, task) == list(range(2, version + 1))
    assert tabs.sockets == [tabs.pages[0], impatient]
    eventually(lambda: connections(quiet_server) == 1, 15)


def test_each_tab_keeps_what_it_wants(
    page_site: Site, quiet_server: Server, visit: Callable[..., Visit]
) -> None:
    """One watches a task with its lines, another all of the user's tasks; each unaware of the other's."""
    worker = page_site.remote()
    tabs = Tabs(visit(server=quiet_server, path=scripted.BLANK), 1)
    scripted.wait_live(tabs.pages[0])
    watching = tabs.open(topics=[])
    scripted.wait_live(watching)
    other = worker.run(CREATE, name="Another")
    task = worker.run(CREATE, name="Watched")
    watching.evaluate("id => client.watch([id])", task)
    scripted.wait_version(watching, task, 1)
    worker.run("task.start(); task.log('one'); task.log('two')")
    watching.wait_for_function("() => window.lines.length === 2", timeout=15_000)
    scripted.wait_version(tabs.pages[0], task, 2)
    assert watching.evaluate("window.lines") == ["one", "two"]
    assert watching.evaluate("[...client.tasks.keys()]") == [task]
    assert tabs.pages[0].evaluate("window.lines") == []
    assert tabs.pages[0].evaluate("id => client.tasks.has(id)", other)
    worker.run("task.complete()")
    scripted.wait_version(watching, task, 3)
    assert watching.evaluate("id => client.tasks.get(id).status", task) == "completed"
    assert len(tabs.sockets) == 1


def test_a_tab_that_wants_what_it_may_not_have_is_alone_with_that(
    page_site: Site, quiet_server: Server, visit: Callable[..., Visit]
) -> None:
    """It is told so; the others go on over the connection that they share."""
    tabs = Tabs(visit(server=quiet_server, path=scripted.BLANK), 1)
    scripted.wait_live(tabs.pages[0])
    refused = tabs.open(topics=["tasks"])
    refused.wait_for_function("() => client.state === 'denied'", timeout=15_000)
    assert refused.evaluate("client.line.reason") == "You may not do this."
    task = page_site.remote().run(CREATE, name="His own")
    scripted.wait_version(tabs.pages[0], task, 1)
    assert refused.evaluate("client.tasks.size") == 0
    assert len(tabs.sockets) == 1
