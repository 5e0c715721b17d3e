"""The live pages of the admin in a browser: who may see them, and where on them what is found."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Locator

from tests.kit.site import Site
from tests.pages import Visit

LIST, LIVE = "/admin/realtime/task/", "/admin/realtime/live/"
#: Of who watches tasks, connections and nodes, and acts on them.
RIGHTS = [
    f"realtime.{right}"
    for right in ("view_task", "change_task", "add_task", "view_connection", "delete_connection", "view_node")
]
#: Milliseconds that the page of a busy machine may take. Usually it is there within a second.
SOON = 15_000


@pytest.fixture(scope="session")
def staffed(page_site: Site) -> Site:
    """The site with staff: one who may watch and act, one who may nothing, one who may everything."""
    page_site.create_user("watcher", RIGHTS, staff=True)
    page_site.create_user("clerk", staff=True)
    page_site.create_user("reader", superuser=True)
    return page_site


def state(page: Visit) -> Locator:
    """What the page says of its connection."""
    return page.page.locator(".rt-state")


def row(page: Visit, task: str) -> Locator:
    """A task's row of the list."""
    return page.page.locator("#result_list tr").filter(has=page.page.locator(f"[data-task='{task}']"))


def bar(place: Locator) -> Locator:
    """The bar in a place."""
    return place.get_by_role("progressbar")


def wait_told(page: Visit, task: str, status: str) -> None:
    """Wait until a page has been told that status, and has looked twice at whether it may show it."""
    deadline = time.monotonic() + SOON / 1000
    while ("task_update", task, status) not in [
        (frame["type"], frame.get("task_id"), frame.get("data", {}).get("status")) for frame in page.frames
    ]:
        assert time.monotonic() < deadline, f"{status} was not told: {page.frames}"
        page.page.wait_for_timeout(20)  # lets the browser's news in
    page.page.evaluate("new Promise((done) => setTimeout(done, 600))")
