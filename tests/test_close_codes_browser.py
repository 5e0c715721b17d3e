"""Every close code as a page in a browser sees it: the code itself, and the reason in the last frame."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.closings import CLOSINGS, Closing, stage
from tests.flows import KINDS, Live
from tests.kit.ports import HOST

OPEN = """
({url, protocols, say, answersOnce, hangsUp}) => {
  window.heard = [];
  window.code = undefined;
  const socket = new WebSocket(url, protocols);
  socket.addEventListener("message", (event) => {
    const frame = JSON.parse(event.data);
    window.heard.push(frame);
    if (frame.type === "connected") {
      for (const text of say) socket.send(text);
      if (hangsUp) socket.close(1000);
    }
    if (frame.type === "ping" && answersOnce) {
      answersOnce = false;
      socket.send(JSON.stringify({action: "pong", t: frame.t}));
    }
  });
  socket.addEventListener("close", (event) => { window.code = event.code; });
}
"""
_numbers = itertools.count(1)


class Elsewhere(BaseHTTPRequestHandler):
    """An empty page of another origin on the same host: a browser sends the host's cookies along."""

    def do_GET(self) -> None:
        """Answer whatever is asked."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Elsewhere</title>")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The address of that page. A real one: a browser lets no invented one speak to a local server."""
    with HTTPServer((HOST, 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, elsewhere: str) -> Iterator[Page]:
    """The page, in a context of its own."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(elsewhere)
        yield page


def play(page: Page, closing: Closing, live: Live) -> tuple[int, dict[str, Any]]:
    """Do as the closing says; return the code of the page's `close` event, and the last frame."""
    name = f"browser-{next(_numbers)}-{live.server.kind}"
    live.site.create_user(name)
    protocols = ["realtime.json"]
    if closing.credential == "token":
        protocols += ["bearer", live.site.token(name)]
    if closing.credential == "session":
        cookie = {"name": "sessionid", "value": live.site.session_key(name), "url": live.server.url}
        page.context.add_cookies([cookie])  # type: ignore[list-item]
    asked = {
        "url": f"{live.server.ws_url}/ws",
        "protocols": protocols,
        "say": closing.say,
        "answersOnce": closing.answers_once,
        "hangsUp": closing.hangs_up,
    }
    page.evaluate(OPEN, asked)
    page.wait_for_function("window.heard.length > 0")
    closing.after(live)
    # Not by evaluating the promise: that has no deadline.
    page.wait_for_function("window.code !== undefined")
    code: int = page.evaluate("window.code")
    last: dict[str, Any] = page.evaluate("window.heard.at(-1)")
    return code, last


@pytest.mark.requirement("W10")
@pytest.mark.parametrize(
    ("kind", "closing"),
    [*zip(itertools.cycle(KINDS), CLOSINGS.values(), strict=False)],
    ids=CLOSINGS,
    indirect=["kind"],
)
def test_a_browser_sees_the_code_and_the_reason(narrow: Live, page: Page, closing: Closing) -> None:
    """Never 1006, which is all that a page is told of a refusal before the handshake; servers take turns."""
    with stage(closing, narrow) as live:
        code, last = play(page, closing, live)
    assert code == closing.code
    assert closing.last.items() <= last.items()
