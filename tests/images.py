"""The pictures of the README: `python -m tests.images` starts a site with real data and takes each page."""

from __future__ import annotations

import math
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
    """A page and how it is taken: `wait` is what must be there; without a height, to its end."""

    name: str
    user: str | None
    path: str
    wait: str
    height: int = 0
    width: int = WIDE
    prepare: Callable[[Page], None] = nothing


LIVE = '[data-state="live"]'
ADMIN = "/admin/realtime"
SHOTS = (
    Shot("user-page", "ada", "/", LIVE),
    Shot("user-page-narrow", "ada", "/", LIVE, 1150, NARROW),
    Shot("log-in", None, "/", "form", 620),
    Shot("admin-tasks", "staff", f"{ADMIN}/task/", LIVE, 1000),
    Shot("admin-task", "staff", f"{ADMIN}/task/{{failed}}/change/", LIVE),
    Shot("admin-live", "staff", f"{ADMIN}/live/", LIVE),
    Shot("admin-broadcast", "staff", f"{ADMIN}/broadcast/add/", "form", prepare=choose_message),
    Shot("admin-broadcast-sent", "staff", f"{ADMIN}/broadcast/{{sent}}/change/", LIVE),
    Shot("admin-broadcasts", "staff", f"{ADMIN}/broadcast/", "#result_list", 620),
    Shot("admin-connections", "staff", f"{ADMIN}/connection/", "#result_list", 620),
)
#: Those who are there: somebody to see among the connections.
PEOPLE = ("ada", "ben", "carla", "deniz")


@contextmanager
def scene() -> Iterator[tuple[Site, Server, str]]:
    """A site with people, tasks and a server; and the id of the task that failed."""
    often = {"PING_INTERVAL": 1, "CONNECTIONS_INTERVAL": 1}  # or no round trip would be known yet
    with Site(redis=True, settings=often, env={"DEBUG": "1"}) as site:
        for name in PEOPLE:
            site.create_user(name)
        site.create_user("staff", superuser=True)
        server = site.start("daphne")
        failed = site.remote().run("from tests import scene\nscene.make()")
        yield site, server, failed


def reduced(picture: Image.Image) -> Image.Image:
    """The picture in 256 colours: a third of the size, and nobody sees the difference.

    Half of them are the most frequent ones, so that surfaces stay as they are. The others stand for all the
    rest, each counted once, so that a small red sign stays red.
    """
    counted: Any = picture.getcolors(picture.width * picture.height)
    colours = [colour for _, colour in sorted(counted, reverse=True)]
    palette = colours[:128]
    if rest := colours[128:]:
        strip = Image.new("RGB", (len(rest), 1))
        strip.putdata(rest)
        values: Any = strip.quantize(128, method=Image.Quantize.MAXCOVERAGE).getpalette()
        palette += list(zip(*[iter(values)] * 3, strict=True))[: 256 - len(palette)]
    # By hand: Pillow looks for the nearest colour roughly, and makes white a grey.
    place = {}
    for colour in colours:
        distances = [math.dist(one, colour) for one in palette]
        place[colour] = distances.index(min(distances))
    few = Image.new("P", picture.size)
    few.putpalette([part for colour in palette for part in colour])
    few.putdata([place[colour] for colour in picture.get_flattened_data()])
    return few


def take(context: BrowserContext, site: Site, server: Server, shot: Shot, ids: dict[str, str]) -> None:
    """Open a page and take it in light and dark."""
    page = context.new_page()
    page.set_viewport_size({"width": shot.width, "height": shot.height or 900})
    page.goto(f"{server.url}{shot.path.format(**ids)}")
    expect(page.locator(shot.wait).first).to_be_visible(timeout=30_000)
    shot.prepare(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        site.remote().run("scene.work()")
        page.wait_for_timeout(1500)  # what has come, and colours that change slowly
        path = FOLDER / f"{shot.name}-{scheme}.png"
        if not shot.height:  # all of it is seen: what is as high as the window is as high as the page then
            whole = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": shot.width, "height": whole})
        taken = page.screenshot(animations="disabled", caret="hide")
        reduced(Image.open(BytesIO(taken)).convert("RGB")).save(path, optimize=True)
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
        for user in (*PEOPLE, "staff"):
            context = those.get(user) or contexts.enter_context(visitor(browser, site, server, user))
            page = context.new_page()
            page.goto(server.url if user in PEOPLE else f"{server.url}{ADMIN}/live/")
            expect(page.locator(LIVE).first).to_be_visible(timeout=30_000)
        ids = {"failed": failed, "sent": site.remote().run("scene.tell()")}
        for shot in shots:
            take(those[shot.user], site, server, shot, ids)


if __name__ == "__main__":
    main(sys.argv[1:])
