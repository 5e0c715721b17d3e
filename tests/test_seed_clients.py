"""The first documents' browser clients, run as they were written: what works, and what a browser refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page

from tests.doors import CONNECTED
from tests.kit.servers import Server
from tests.kit.site import Site

SOCKET = """
const token = "your-jwt-token";
const ws = new WebSocket(`ws://localhost:8000/ws?token=${token}`);

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log('Received:', data);
};

// Subscribe to task updates
ws.send(JSON.stringify({
  action: "subscribe",
  task_id: "task-uuid"
}));
"""
STREAM = """
const token = "your-jwt-token";
const eventSource = new EventSource(
  `/events?task_id=task-uuid`,
  {
    headers: {
      'Authorization': `Bearer ${token}`
    }
  }
);

eventSource.addEventListener('task_update', (event) => {
  const data = JSON.parse(event.data);
  console.log('Task update:', data);
});
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site with a user and his task."""
    with Site(settings={"LOG_CHECK_INTERVAL": 0.1}) as site:
        user_id = site.create_user("somebody")
        site.remote().run("task = Task.objects.create(name='import', owner_id=pk)", pk=user_id)
        yield site


@pytest.fixture(scope="module")
def server(site: Site) -> Server:
    """A server of it."""
    return site.start("daphne")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that knows no cookie of the site yet."""
    with browser.new_context() as context:
        yield context


class Visitor:
    """A page of the site that runs the examples, and what it logs, receives and is answered."""

    def __init__(self, context: BrowserContext, server: Server, site: Site) -> None:
        self.page: Page = context.new_page()
        self.logged: list[dict[str, Any]] = []
        self.answers: list[tuple[int, str | None]] = []
        self.page.on("console", self._log)
        self.page.on("response", lambda got: self.answers.append((got.status, self.sent(got.request))))
        self.page.goto(f"{server.url}/accounts/login/")
        self.task = site.remote().run("str(task.pk)")
        self._values = {
            "your-jwt-token": site.token("somebody"),
            "task-uuid": self.task,
            "localhost:8000": f"127.0.0.1:{server.port}",
        }

    def _log(self, said: ConsoleMessage) -> None:
        if said.type == "log":
            self.logged.append(said.args[1].json_value())

    @staticmethod
    def sent(request: Any) -> str | None:
        """The Authorization header of a request for a stream."""
        value: str | None = request.all_headers().get("authorization")
        return value

    def run(self, code: str) -> None:
        """Run an example with a real token, task and address in place of its own."""
        for example, real in self._values.items():
            code = code.replace(example, real)
        keep = "window.source = typeof eventSource === 'undefined' ? null : eventSource;"
        self.page.evaluate(f"() => {{ {code}\n{keep} }}")

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so, or fail after ten seconds."""
        for _ in range(1000):
            if condition():
                return
            self.page.wait_for_timeout(10)  # lets the browser's news in
        raise AssertionError((self.logged, self.answers))


@pytest.fixture
def visitor(context: BrowserContext, server: Server, site: Site) -> Visitor:
    """Somebody with the example in a page."""
    return Visitor(context, server, site)


def types(visitor: Visitor) -> list[str]:
    """The types of the frames that the example logged."""
    return [frame["type"] for frame in visitor.logged]


def test_the_socket_example_sends_too_early(visitor: Visitor) -> None:
    """As written it throws: a WebSocket sends nothing before it is open. The connection itself is made."""
    with pytest.raises(Error, match="InvalidStateError"):
        visitor.run(SOCKET)
    visitor.wait(lambda: types(visitor) == [CONNECTED])


def test_the_socket_example_once_it_is_open(visitor: Visitor, site: Site) -> None:
    """With its last call in `onopen` it shows the task, and each change of it."""
    opened = SOCKET.replace("ws.send(", "ws.onopen = () => ws.send(")
    visitor.run(opened)
    visitor.wait(lambda: types(visitor) == [CONNECTED, "task_update", "subscribed"])
    site.remote().run("task.refresh_from_db(); task.message = 'moving'; task.save()")
    visitor.wait(lambda: visitor.logged[-1].get("data", {}).get("message") == "moving")


@pytest.mark.requirement("S13")
def test_an_event_source_sends_no_header(visitor: Visitor) -> None:
    """As written no browser can do it: the header is not sent, the answer is 401, the source stays closed."""
    visitor.run(STREAM)
    visitor.wait(lambda: (401, None) in visitor.answers)
    visitor.wait(lambda: visitor.page.evaluate("source.readyState") == 2)
    assert visitor.logged == []


@pytest.mark.requirement("S13")
def test_an_event_source_with_a_ticket(visitor: Visitor) -> None:
    """A page that has a token asks for a ticket with it, and puts that into the URL."""
    ask = """async (token) => (await (await fetch("/api/ticket/", {
      method: "POST", headers: { Authorization: `Bearer ${token}` } })).json()).ticket"""
    ticket = visitor.page.evaluate(ask, visitor._values["your-jwt-token"])
    visitor.run(STREAM.replace("task-uuid`", f"task-uuid&ticket={ticket}`"))
    visitor.wait(lambda: types(visitor) == ["task_update"])
    assert visitor.logged[0]["task_id"] == visitor.task
    assert (200, None) in visitor.answers


@pytest.mark.requirement("S13")
def test_an_event_source_with_the_session(context: BrowserContext, server: Server, site: Site) -> None:
    """Where its user is logged in to the site, the example works as written: by the cookie."""
    session = {"name": "sessionid", "value": site.session_key("somebody"), "url": server.url}
    context.add_cookies([session])
    visitor = Visitor(context, server, site)
    visitor.run(STREAM)
    visitor.wait(lambda: types(visitor) == ["task_update"])
    assert (200, None) in visitor.answers
