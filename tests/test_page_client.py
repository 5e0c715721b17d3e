"""The client in the browser, with tokens and with the cookie: what it does when refused or sent away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import WebSocketRoute, expect

from tests.kit.servers import Server
from tests.kit.site import Site
from tests.pages import Visit
from tests.scripted import CREATE

UNAVAILABLE = {"type": "error", "code": "unavailable", "message": "The event log cannot be reached."}
# A page of the site on which nothing is connected yet.
PATH = "/accounts/login/"
START = """
async (token) => {
  const { RealtimeClient } = await import("/static/realtime/client.js");
  const url = new URL("/ws", location.href);
  url.protocol = "ws:";
  const renew = token === null ? undefined : window.renew;
  window.states = [];
  window.client = new RealtimeClient({ url, token, renew });
  window.client.addEventListener("state", ({ detail }) => window.states.push(detail));
  window.client.start();
}
"""
#: Resolves when a new snapshot has come.
ANEW = """() => new Promise((done) => {
  client.addEventListener("snapshot", done, { once: true });
  client.subscribe({ topic: "broadcasts" });
}).then(() => null)"""


def start(visited: Visit, token: str | None = None, renew: Callable[[], str | None] = lambda: None) -> None:
    """Start a client on the page, with a token, or with the cookie."""
    visited.page.expose_function("renew", renew)
    visited.page.evaluate(START, token)


def wait_state(visited: Visit, state: str) -> dict[str, Any]:
    """Wait until the client is in that state; return what it said of it."""
    visited.page.wait_for_function("state => window.states.at(-1).state === state", arg=state, timeout=20_000)
    said: dict[str, Any] = visited.page.evaluate("window.states.at(-1)")
    return said


@pytest.mark.requirement("K9")
def test_a_refused_token_is_renewed_once(page_site: Site, visit: Callable[..., Visit]) -> None:
    """Closed with 4401, the client asks for a new token and connects with it."""
    page = visit(user=None, path=PATH)
    start(page, page_site.token("demo", lifetime=-10), lambda: page_site.token("demo"))
    wait_state(page, "live")
    assert len(page.sockets) == 2
    assert not any(urlsplit(address).query for address in page.sockets)
    assert [frame["type"] for frame in page.frames[:2]] == ["error", "connected"]
    assert page.frames[0]["code"] == "token_expired"


def test_a_token_is_renewed_before_it_ends(page_site: Site, visit: Callable[..., Visit]) -> None:
    """On the same socket: the client stays live, and the server accepts the new token."""
    page = visit(user=None, path=PATH)
    start(page, page_site.token("demo", lifetime=6), lambda: page_site.token("demo"))
    wait_state(page, "live")
    before = page.wait_frame("connected")["expires_at"]
    assert page.wait_frame("authenticated")["expires_at"] > before
    assert page.page.evaluate("window.client.state") == "live"
    assert len(page.sockets) == 1


def test_without_a_new_token_the_client_gives_up(page_site: Site, visit: Callable[..., Visit]) -> None:
    """Who may not come back gets none; the reason is the server's, and nothing is tried again."""
    page = visit(user=None, path=PATH)
    start(page, page_site.token("demo", lifetime=-10))
    assert wait_state(page, "denied")["reason"] == "The token has expired."
    assert len(page.sockets) == 1


def test_a_token_that_could_not_be_asked_for_is_asked_for_again(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """The network is away when the token is refused: that is no answer."""
    asked: list[int] = []

    def renew() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ConnectionError("not now")
        return page_site.token("demo")

    page = visit(user=None, path=PATH)
    start(page, page_site.token("demo", lifetime=-10), renew)
    wait_state(page, "live")
    assert (len(asked), len(page.sockets)) == (2, 2)


def test_a_refused_cookie_is_tried_twice(visit: Callable[..., Visit]) -> None:
    """A right may have changed since; if it is refused again, the reason is the server's."""
    page = visit(user=None, path=PATH)
    start(page)
    assert wait_state(page, "denied")["reason"] == "Credentials are required."
    assert [frame["code"] for frame in page.frames] == ["not_authenticated"] * 2
    assert len(page.sockets) == 2


@pytest.mark.requirement("W10")
def test_sent_away_by_a_server_that_ends_it_comes_back_when_told(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """The pause is the one of `reconnect`; then it resumes on the next server."""
    server = page_site.start("daphne")
    page = visit(user=None, server=server, path=PATH)
    page.forgiven = "ERR_CONNECTION_REFUSED"
    start(page, page_site.token("demo"))
    wait_state(page, "live")
    server.stop()
    pause = page.wait_frame("reconnect")["after_ms"]
    wait_state(page, "reconnecting")
    next_server: Server = page_site.start("daphne", port=server.port)
    wait_state(page, "live")
    (said,) = page.page.evaluate("window.states.filter(({ retryIn }) => retryIn !== null).slice(0, 1)")
    assert (said["state"], said["retryIn"]) == ("reconnecting", pause)
    assert [f["recovered"] for f in page.frames if f["type"] == "subscribed" and "recovered" in f] == [True]
    next_server.stop()


def test_a_subscribe_that_fails_for_a_moment_is_tried_again(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """The event log cannot be read just now: the client comes back instead of giving up."""
    page = visit(user=None, path=PATH)
    asked: list[dict[str, Any]] = []

    def between(line: WebSocketRoute) -> None:
        server = line.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            message = json.loads(text)
            if message["action"] == "subscribe":
                asked.append(message)
            if asked == [message]:
                line.send(json.dumps(UNAVAILABLE | {"request_id": message["request_id"]}))
            else:
                server.send(text)

        line.on_message(pass_on)

    page.page.route_web_socket(re.compile(r"/ws"), between)
    page.page.reload()
    start(page, page_site.token("demo"))
    wait_state(page, "live")
    assert len(asked) == 2


def test_the_lines_of_a_task_are_let_go_with_it(page_site: Site, visit: Callable[..., Visit]) -> None:
    """While it is watched, a new snapshot asks for those after the last one held; then no more."""
    worker = page_site.remote()
    task = worker.run(CREATE, name="Chatty")
    page = visit(path=PATH)
    start(page)
    wait_state(page, "live")
    page.page.evaluate("task => client.watch([task])", task)
    page.page.wait_for_function("task => client.tasks.has(task)", arg=task)
    worker.run("task.log('line 1')")
    page.page.wait_for_function("task => client.lines.get(task)?.length === 1", arg=task, timeout=20_000)

    def asked() -> list[str]:
        return [address for address in page.requests if f"{task}/log/" in address]

    assert asked() == []
    with page.page.expect_request(f"**/{task}/log/?after=1"):
        page.page.evaluate("client.follow('broadcasts')")
    assert len(asked()) == 1
    page.page.evaluate("task => client.unwatch([task])", task)
    assert page.page.evaluate("client.lines.size") == 0
    page.page.evaluate("client.unsubscribe({ topic: 'broadcasts' })")
    page.page.evaluate(ANEW)
    assert len(asked()) == 1


@pytest.mark.requirement("W10")
def test_one_too_many_waits_for_its_place(visit: Callable[..., Visit]) -> None:
    """Closed with 4429 the page says why and tries on; when somebody leaves, it comes in."""
    with Site(settings={"MAX_CONNECTIONS_PER_USER": 1}, env={"DEBUG": "1"}) as site:
        site.create_user("demo")
        server = site.start("daphne")
        pages = [visit(user=None, server=server, path=PATH) for _ in range(2)]
        key = site.session_key("demo")
        for page in pages:
            page.forgiven = "ERR_CONNECTION_REFUSED"  # the site goes before they do
            page.context.add_cookies([{"name": "sessionid", "value": key, "url": server.url}])
        pages[0].page.goto(server.url)
        pages[0].wait_state("live")
        pages[1].page.goto(server.url)
        expect(pages[1].connection).to_contain_text("At most 1")
        pages[0].page.close()
        pages[1].wait_state("live")
