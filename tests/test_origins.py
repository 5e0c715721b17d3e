"""The Origin rule: a page of another site cannot use a browser's session cookie, whatever else it sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page

from realtime.auth import origins
from realtime.exceptions import ORIGIN_NOT_ALLOWED, Refused
from tests import doors
from tests.doors import CONNECTED, Key
from tests.flows import Live
from tests.kit import chromium
from tests.kit.site import Site

HOSTS = ["example.com", ".example.org", "127.0.0.1", "[::1]"]


@pytest.fixture(autouse=True)
def hosts(settings: Any) -> None:
    """The site answers for a few names."""
    settings.ALLOWED_HOSTS = HOSTS


def allowed(origin: str | None, host: str = "example.com", kind: str = "websocket", **headers: str) -> bool:
    """Whether a page of that origin may use the cookie on a connection to that host."""
    sent = {"host": host, **({} if origin is None else {"origin": origin}), **headers}
    scheme = sent.pop("scheme", "ws")
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
    try:
        origins.check({"type": kind, "scheme": scheme, "headers": pairs})
    except Refused as refused:
        if refused.problem is ORIGIN_NOT_ALLOWED:
            return False
        raise
    return True


@pytest.mark.requirement("W13")
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://example.com", "example.com"),
        ("https://EXAMPLE.com", "Example.COM"),
        ("https://example.com", "example.com:443"),
        ("http://example.com", "example.com:80"),
        ("http://example.com:8000", "example.com:8000"),
        ("https://shop.example.org", "shop.example.org"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_pages_of_the_site_itself(origin: str, host: str) -> None:
    """Scheme or no TLS, name and port are those that the connection asks for."""
    assert allowed(origin, host)
    assert allowed(origin, host, kind="http")


@pytest.mark.requirement("W13", "K10")
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.com", "example.com"),
        ("https://sub.example.com", "example.com"),
        ("https://example.com", "sub.example.com"),
        ("https://a.example.org", "b.example.org"),
        ("https://example.com.evil.com", "example.com"),
        ("https://evilexample.com", "example.com"),
        ("null", "example.com"),
        ("", "example.com"),
        ("file://", "example.com"),
        ("https://example.com:8443", "example.com"),
        ("http://example.com:443", "example.com:80"),
        ("https://127.0.0.1", "127.0.0.1:8000"),
        ("http://localhost:8000", "127.0.0.1:8000"),
        ("chrome-extension://example.com", "example.com"),
        ("https://example.com/path", "example.com"),
        ("https://me@example.com", "example.com"),
        ("https://example.com https://evil.com", "example.com"),
        # The attacker's name points to the site's address, or a proxy passes any name on.
        ("https://evil.com", "evil.com"),
        ("https://evil.com", ""),
        ("https://evil.com", "example.com@evil.com"),
        ("https://[", "example.com"),
        ("https://example.com:port", "example.com:port"),
    ],
)
def test_pages_of_others(origin: str, host: str) -> None:
    """A sibling, a parent, another port, no origin at all, a name that is not the site's."""
    assert not allowed(origin, host)
    assert not allowed(origin, host, kind="http")


def test_a_page_without_tls_is_not_one_with_it(settings: Any) -> None:
    """Where the site is known to have TLS, a page that anybody on the way can change is another's."""
    assert not allowed("http://example.com", scheme="wss")
    assert allowed("https://example.com", scheme="wss")
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert not allowed("http://example.com", x_forwarded_proto="https")
    assert allowed("http://example.com", x_forwarded_proto="http")
    assert allowed("http://example.com")
    settings.SECURE_PROXY_SSL_HEADER = None
    settings.SESSION_COOKIE_SECURE = True
    assert not allowed("http://example.com")
    assert allowed("https://example.com")


def test_the_host_that_a_proxy_was_asked_for_counts_only_where_django_believes_it(settings: Any) -> None:
    """`X-Forwarded-Host` is the client's word unless USE_X_FORWARDED_HOST says that a proxy writes it."""
    forwarded = {"x_forwarded_host": "example.com"}
    assert not allowed("https://example.com", "127.0.0.1:8000", **forwarded)
    assert allowed("http://127.0.0.1:8000", "127.0.0.1:8000", **forwarded)
    settings.USE_X_FORWARDED_HOST = True
    assert allowed("https://example.com", "127.0.0.1:8000", **forwarded)
    assert not allowed("https://evil.com", "127.0.0.1:8000", x_forwarded_host="evil.com")


def test_the_hosts_of_a_site_are_what_django_says(settings: Any) -> None:
    """In any case and with any port; of a site that names none, this machine's, while it is developed."""
    assert all(map(origins.is_own_host, ("Example.com", "example.com:8443", "a.example.org", "[::1]:80")))
    assert not any(map(origins.is_own_host, ("evil.com", "", ":80", "example.com@evil.com", "localhost")))
    settings.ALLOWED_HOSTS = ["*"]
    assert origins.is_own_host("evil.com")
    assert not origins.is_own_host("")
    settings.ALLOWED_HOSTS = []
    for settings.DEBUG in (True, False):
        assert origins.is_own_host("localhost:8000") is settings.DEBUG
        assert not origins.is_own_host("example.com")


def test_without_an_origin(settings: Any) -> None:
    """A browser says of an EventSource of the site's own that it is; who says nothing is no browser."""
    assert not allowed(None)
    assert not allowed(None, sec_fetch_site="same-origin")  # a browser's WebSocket has an Origin
    for site, good in (("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)):
        assert allowed(None, kind="http", sec_fetch_site=site) is good
    assert not allowed(None, kind="http")
    assert not allowed("https://evil.com", kind="http", sec_fetch_site="same-origin")


def test_allowed_origins_take_the_place_of_the_sites_own(settings: Any) -> None:
    """Exactly those of the list, in whatever case; the site's own only if it is there."""
    settings.REALTIME = {"ALLOWED_ORIGINS": ["https://App.example.net", "http://localhost:3000"]}
    for origin in ("https://app.example.net", "https://APP.example.net", "http://localhost:3000"):
        assert allowed(origin)
        assert allowed(origin, "anything")
    for origin in (
        *("https://example.com", "https://app.example.net:8443", "http://app.example.net", "null"),
        *("https://x.app.example.net", "http://localhost", "http://localhost:30000"),
    ):
        assert not allowed(origin)


@given(st.text(), st.text())
def test_no_text_makes_the_rule_fail(origin: str, host: str) -> None:
    """Whatever comes as Origin and Host is refused in the same words; never an error."""
    headers = [(b"origin", origin.encode(errors="replace")), (b"host", host.encode(errors="replace"))]
    with pytest.raises(Refused):
        origins.check({"type": "websocket", "headers": headers})


@pytest.mark.requirement("W13", "K10", "S13")
async def test_the_cookie_at_the_doors(live: Live) -> None:
    """The site's own pages come in, by Origin or by what browsers say of a GET; 403 or 4403 for others."""
    person = await live.person()
    key = await doors.session(live, person)
    assert await doors.at_both(live, doors.cookie(live, key)) == {CONNECTED}
    same = Key({"Cookie": f"sessionid={key}", "Sec-Fetch-Site": "same-origin"})
    assert await doors.at_stream(live, same) == CONNECTED
    localhost = live.server.url.replace("127.0.0.1", "localhost")
    for origin in ("https://evil.com", "null", localhost, "http://127.0.0.1", "https://127.0.0.1:1", None):
        assert await doors.at_both(live, doors.cookie(live, key, origin)) == {"origin_not_allowed"}, origin
    # The rule is the cookie's: another page, or no page, with a token is welcome.
    assert await doors.at_both(live, doors.header(person.token) + Key({"Origin": "null"})) == {CONNECTED}


OPEN = """url => new Promise((resolve) => {
  const socket = new WebSocket(url), frames = [];
  setTimeout(() => resolve({ code: "none", frames }), 10000);
  socket.onmessage = (event) => {
    frames.push(JSON.parse(event.data));
    if (frames[0].type === "connected") socket.close();
  };
  socket.onclose = (event) => resolve({ code: event.code, frames });
})"""
STREAM = """url => new Promise((resolve) => {
  const source = new EventSource(url, { withCredentials: true });
  source.addEventListener("connected", () => { source.close(); resolve("connected"); });
  source.onerror = () => { source.close(); resolve("error"); };
  setTimeout(() => resolve("nothing"), 10000);
})"""


def told(page: Page, url: str) -> list[str]:
    """What a page hears from the socket: types and codes of the frames, and that of the close."""
    answer = page.evaluate(OPEN, url)
    return [*(frame.get("code", frame["type"]) for frame in answer["frames"]), str(answer["code"])]


@pytest.mark.requirement("K10", "W13", "S13", "W10")
def test_a_cross_origin_page_in_a_browser() -> None:
    """Chromium sends the cookie with another port's page; the socket tells it why not, and closes 4403."""
    with Site() as site, chromium.launch() as browser:
        server, other = site.start("daphne"), site.start("uvicorn")
        site.create_user("somebody")
        with browser.new_context(bypass_csp=True) as context:  # the attacker's page has no policy
            session = {"name": "sessionid", "value": site.session_key("somebody")}
            context.add_cookies([{**session, "domain": "127.0.0.1", "path": "/", "sameSite": "Lax"}])
            page = context.new_page()
            page.goto(f"{server.url}/accounts/login/")
            # The page of one port is another origin to the other, and yet the same site to the cookie.
            assert told(page, f"{other.ws_url}/ws") == ["origin_not_allowed", "4403"]
            assert told(page, f"{server.ws_url}/ws")[0] == "connected"
            assert page.evaluate(STREAM, f"{server.url}/events") == "connected"
            assert page.evaluate(STREAM, f"{other.url}/events") == "error"
            # Another name of this machine: another site, to which the browser gives no cookie of ours.
            page.goto(f"{server.url.replace('127.0.0.1', 'localhost')}/accounts/login/")
            assert told(page, f"{server.ws_url}/ws")[-1] in ("4401", "4403")
            assert page.evaluate(STREAM, f"{server.url}/events") == "error"
