"""The strict Content-Security-Policy: on every page, kept by every page, and of use."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from project.settings import CONTENT_SECURITY_POLICY as POLICY
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.kit.waiting import eventually
from tests.pages import PASSWORD, Visit

#: What each directive must say; those that are not named fall back to `default-src`.
STRICT = {
    "default-src": {"'self'", "'none'"},
    "object-src": {"'none'"},
    "base-uri": {"'none'"},
    "form-action": {"'self'"},
    "frame-ancestors": {"'none'"},
}
ADMIN = "/admin/realtime"
#: Every page of the site, by what is on it when it has come to rest.
PAGES = {
    "/": '[data-state="live"]',
    f"{ADMIN}/task/": '[data-state="live"]',
    f"{ADMIN}/task/{{task}}/change/": '[data-state="live"]',
    f"{ADMIN}/task/{{task}}/history/": "#content",
    f"{ADMIN}/task/?status__exact=failed&q=A": "#result_list",
    f"{ADMIN}/live/": '[data-state="live"]',
    f"{ADMIN}/broadcast/": "#content",
    f"{ADMIN}/broadcast/add/": "form",
    f"{ADMIN}/broadcast/{{sent}}/change/": "#content",
    f"{ADMIN}/event/": "#result_list",
    f"{ADMIN}/connection/": "#content",
    f"{ADMIN}/node/": "#content",
    "/admin/": "#content",
    "/admin/password_change/": "form",
    "/admin/auth/user/add/": "form",
}
#: Before any script of the page: what the browser refuses because of the policy is kept.
LISTEN = """
window.refused = [];
addEventListener("securitypolicyviolation", (event) => {
  refused.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""
MAKE = """
from realtime import broadcasts
task = Task.objects.create(name='A task that failed', owner=User.objects.get(username='demo'))
task.start(); task.log('One line'); task.report(40); task.fail('No such file.', traceback='Traceback')
{'task': str(task.pk), 'sent': str(broadcasts.send('At ten.', title='Tea').pk)}
"""


def strict(policy: str) -> bool:
    """Whether a policy allows nothing but the site's own files."""
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";") if part.strip())
    said = {name: set(values.split()) for name, values in directives.items()}
    allowed = {"'self'", "'none'"}
    return all(said.get(name, set()) <= values and name in said for name, values in STRICT.items()) and all(
        values <= allowed for values in said.values()
    )


@pytest.fixture
def stranger(visit: Callable[..., Visit]) -> Visit:
    """A browser at the log-in that notes each refusal."""
    page = visit(user=None, path="/accounts/login/")
    page.forgiven = "404|favicon"
    page.page.context.add_init_script(LISTEN)
    page.page.reload()
    return page


def refused(page: Page) -> list[str]:
    """What the policy has forbidden on the page that is shown."""
    found: list[str] = page.evaluate("window.refused")
    return found


@pytest.mark.requirement("K19")
def test_every_page_has_the_policy_and_keeps_to_it(page_site: Site, stranger: Visit) -> None:
    """From the log-in on: the header is on each, and no page asks for what it forbids."""
    page_site.create_user("censor", superuser=True, password=PASSWORD)
    page, site = stranger.page, stranger.page.url.removesuffix("/accounts/login/")
    made = page_site.remote().run(MAKE)
    answer = page.reload()
    assert answer is not None
    assert strict(answer.headers["content-security-policy"])
    assert refused(page) == []
    stranger.log_in("censor")
    found, loose = {}, []
    for path, rest in PAGES.items():
        answer = page.goto(f"{site}{path.format(**made)}")
        assert answer is not None
        if not strict(answer.headers.get("content-security-policy", "")):
            loose.append(path)
        expect(page.locator(rest).first).to_be_visible(timeout=15_000)
        if "live" not in rest:
            page.wait_for_load_state("networkidle")
        if said := refused(page):
            found[path] = said
    page_site.manage("broadcast", "--retract", made["sent"])
    assert (found, loose) == ({}, [])


@pytest.mark.requirement("K19")
@pytest.mark.parametrize(
    "path", ["/api/tasks/", "/api/schema/", "/healthz", "/accounts/logout/", "/events", "/nowhere"]
)
def test_what_is_no_page_has_the_policy_too(page_server: Server, path: str) -> None:
    """An answer that somebody opens as a page is no way around it."""
    answer = httpx.get(f"{page_server.url}{path}")
    assert strict(answer.headers["content-security-policy"])


@pytest.mark.requirement("K19")
def test_what_somebody_gets_into_a_page_is_stopped(stranger: Visit) -> None:
    """A script, a handler, a style, a frame, an evaluated text, a foreign address: none of them works."""
    page = stranger.page
    stranger.forgiven = r"Content Security Policy|was not explicitly set|404"  # this is what it is about
    page.evaluate("""() => {
      const script = Object.assign(document.createElement("script"), { textContent: "window.hit = 1" });
      const image = document.createElement("div");
      image.innerHTML = "<img src=/nowhere.png onerror=\\"window.hit = 'handler'\\">";
      const style = Object.assign(document.createElement("style"), { textContent: "h1 { color: red }" });
      const base = Object.assign(document.createElement("base"), { href: "https://evil.test/" });
      document.head.append(style, base);
      document.body.append(script, image);
      const link = Object.assign(document.createElement("a"), { href: "javascript:window.hit = 'link'" });
      document.body.append(link);
      link.click();
      setTimeout(() => { try { window.hit = (0, eval)("1"); } catch { /* as it should be */ } });
      fetch("https://evil.test/").catch(() => {});
    }""")
    wanted = {"script-src-elem", "script-src-attr", "style-src-elem", "base-uri", "connect-src", "script-src"}
    eventually(lambda: wanted <= {said.split()[0] for said in refused(page)}, message=str(refused(page)))
    assert page.evaluate("window.hit === undefined")
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"


def test_a_loose_policy_would_be_noticed() -> None:
    """The test's own eye: each weakening of the real policy is seen."""
    assert strict(POLICY)
    for weak in (
        "script-src 'unsafe-inline'",
        "style-src 'unsafe-inline'",
        "img-src *",
        "script-src 'unsafe-eval'",
    ):
        assert not strict(f"{POLICY}; {weak}")
    for name in STRICT:
        assert not strict("; ".join(part for part in POLICY.split("; ") if not part.startswith(name)))
    assert re.search(r"unsafe|\*|https?:", POLICY) is None
