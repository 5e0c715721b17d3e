"""The pictures of the README: `python -m tests.images` starts a site with real data and takes each page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.kit import chromium
from tests.kit.process import ROOT
from tests.kit.servers import Server
from tests.kit.site import Site

FOLDER = ROOT / "docs" / "images"
SCHEMES = ("light", "dark")
WIDE, NARROW = 1280, 390


def nothing(page: Page) -> None:
    """Take the page as it comes."""


def choose_message(page: Page) -> None:
    """Fill the form of a broadcast, so that its preview shows one."""
    page.get_by_label("Title").fill("Maintenance tonight")
    page.get_by_label("Message").first.fill("The shop is read-only from 22:00 to 22:15. Running tasks go on.")
    page.get_by_label("Level").select_option("warning")
    page.evaluate("document.activeElement.blur()")


class Shot(NamedTuple):
    """A page and how it is taken: `wait` is what must be there, `bottom` what it is cut below."""

    name: str
    user: str | None
    path: str
    height: int
    wait: str
    width: int = WIDE
    prepare: Callable[[Page], None] = nothing


LIVE = '[data-state="live"]'
SHOTS = (
    Shot("user-page", "ada", "/", 1700, LIVE),
    Shot("user-page-narrow", "ada", "/", 1100, LIVE, NARROW),
    Shot("log-in", None, "/", 620, "form"),
    Shot("admin-tasks", "staff", "/admin/realtime/task/", 1000, LIVE),
    Shot("admin-task", "staff", "/admin/realtime/task/{failed}/change/", 1500, LIVE),
    Shot("admin-live", "staff", "/admin/realtime/live/", 1400, LIVE),
    Shot("admin-broadcast", "staff", "/admin/realtime/broadcast/add/", 1200, "form", prepare=choose_message),
)


@contextmanager
def scene() -> Iterator[tuple[Site, Server, str]]:
    """A site with people, tasks and a server; and the id of the task that failed."""
    with Site(redis=True, env={"DEBUG": "1"}) as site:
        for name in ("ada", "ben"):
            site.create_user(name)
        site.create_user("staff", superuser=True)
        server = site.start("daphne")
        failed = site.remote().run("from tests import scene\nscene.make()")
        yield site, server, failed


def take(context: BrowserContext, site: Site, server: Server, shot: Shot, failed: str) -> None:
    """Open a page and take it in light and dark."""
    page = context.new_page()
    page.set_viewport_size({"width": shot.width, "height": shot.height})
    page.goto(f"{server.url}{shot.path.format(failed=failed)}")
    expect(page.locator(shot.wait).first).to_be_visible(timeout=30_000)
    shot.prepare(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        site.remote().run("scene.work()")
        page.wait_for_timeout(1500)  # what has come, and colours that change slowly
        path = FOLDER / f"{shot.name}-{scheme}.png"
        picture = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
        # A third of the size, and nobody sees the difference.
        few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        sys.stdout.write(f"  {path.name}  {path.stat().st_size // 1000} kB\n")
    page.close()


def visitor(browser: Browser, site: Site, server: Server, user: str | None) -> BrowserContext:
    """A browser in which the user is logged in."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/Vienna")
    if user:
        cookie: Any = {"name": "sessionid", "value": site.session_key(user), "url": server.url}
        context.add_cookies([cookie])
    return context


def main(wanted: list[str]) -> None:
    """Take all, or those whose names begin so."""
    FOLDER.mkdir(exist_ok=True)
    shots = [shot for shot in SHOTS if not wanted or shot.name.startswith(tuple(wanted))]
    with chromium.launch() as browser, scene() as (site, server, failed), ExitStack() as contexts:
        users = {shot.user for shot in SHOTS}
        those = {user: contexts.enter_context(visitor(browser, site, server, user)) for user in users}
        for user in ("ada", "ben"):  # somebody to see among the connections
            context = those.get(user) or contexts.enter_context(visitor(browser, site, server, user))
            context.new_page().goto(server.url)
        for shot in shots:
            take(those[shot.user], site, server, shot, failed)


if __name__ == "__main__":
    main(sys.argv[1:])
