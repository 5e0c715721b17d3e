"""The admin's pages for everybody: what axe-core finds, light and dark, and nothing that moves unasked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.kit.site import Site
from tests.pages import Visit

TASKS, LIVE = "/admin/realtime/task/", "/admin/realtime/live/"
EVERYTHING: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
#: All that the theme can change.
CONTRAST = {**EVERYTHING, "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
MAKE = """
from realtime.models import Task
ann = User.objects.get(username='reader')
for status in ('pending', 'running', 'completed', 'failed', 'cancelled'):
    values = {'name': f'A {status} task', 'owner': ann, 'status': status}
    Task.objects.create(progress=40, total=10, done=4, **values)
task = Task.objects.create(name='With lines', owner=ann)
task.start(); task.log('One line', level='warning'); task.fail('No such file.', traceback='Traceback')
str(task.pk)
"""


def test_axe_finds_nothing_serious(page_site: Site, visit: Callable[..., Visit]) -> None:
    """On no page and in no theme: names, roles, contrast, order, keyboard."""
    page_site.create_user("reader", superuser=True)
    task = page_site.remote().run(MAKE)
    page = visit(user="reader", path=TASKS)
    page.forgiven = "favicon|404|inline style|preload assets"  # axe's own
    page.page.emulate_media(reduced_motion="reduce")
    found = {}
    for path in (TASKS, f"{TASKS}{task}/change/", LIVE):
        page.page.emulate_media(color_scheme="light")
        page.page.goto(f"{page.page.url.split('/admin/')[0]}{path}")
        expect(page.page.locator(".rt-state")).to_have_attribute("data-state", "live", timeout=15_000)
        for scheme, rules in (("light", EVERYTHING), ("dark", CONTRAST)):
            page.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.page.wait_for_timeout(300)  # the admin's links change their colour slowly
            for one in Axe().run(page.page, options=rules).response["violations"]:
                if one["impact"] in ("serious", "critical"):
                    found[f"{one['id']} {path} {scheme}"] = [node["target"] for node in one["nodes"]]
    assert found == {}
    bars = page.page.get_by_role("progressbar")
    expect(bars.first).to_have_attribute("aria-label", "Progress of A running task")
