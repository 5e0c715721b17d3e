"""A Celery worker's task in the admin: it moves in the list, and its owner stops it from there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.admin_pages import LIST, RIGHTS, SOON, bar, row, state
from tests.celery_site import CelerySite
from tests.pages import Visit


@pytest.mark.requirement("F1", "K2")
def test_a_celery_task_moves_in_the_admin(shop: CelerySite, visit: Callable[..., Visit]) -> None:
    """From the queue to its end, in its row of the list, within a second of each change."""
    shop.site.create_user("watcher", RIGHTS, staff=True)
    server = shop.site.start("daphne")
    shop.worker("prefork")
    job = shop.run("step_by_step.apply_async(queue='later').id")
    page = visit(user=None, server=server, path="/accounts/login/")
    page.forgiven = "favicon|404"
    key = {"name": "sessionid", "value": shop.site.session_key("watcher"), "url": server.url}
    page.context.add_cookies([key])  # type: ignore[list-item]
    page.page.goto(f"{server.url}{LIST}")
    expect(state(page)).to_have_attribute("data-state", "live", timeout=15_000)
    mine = row(page, job)
    expect(mine.locator(".rt-word")).to_have_text("Pending")
    shop.run("app.control.add_consumer('later', reply=True); None")
    expect(mine.locator(".rt-word")).to_have_text("Running", timeout=15_000)
    for percent in (25, 50, 75):
        shop.run("Task.objects.create(name=name); None", name=f"step {percent} of {job}")
        expect(bar(mine)).to_have_js_property("value", percent, timeout=SOON)
    shop.run("Task.objects.create(name=name); None", name=f"step 100 of {job}")
    expect(mine.locator(".rt-word")).to_have_text("Completed", timeout=SOON)
    expect(bar(mine)).to_have_js_property("value", 100, timeout=SOON)
    page.page.close()
