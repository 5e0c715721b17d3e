"""The admin's pages for everybody: what axe-core finds, light and dark, and nothing that moves unasked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.admin_pages import LIST, LIVE
from tests.kit.site import Site
from tests.pages import Visit

BROADCASTS = "/admin/realtime/broadcast/"
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
#: Of the process that serves the pages, so that it is swept by nobody.
CONNECT = """
import uuid
from django.utils import timezone
from realtime.models import Connection, Node
values = {'transport': 'websocket', 'format': 'json', 'address': '::1', 'position': 0, 'user_id': '0'}
times = {'since': timezone.now(), 'seen_at': timezone.now()}
node = Node.objects.latest('seen_at')
rows = [Connection(id=uuid.uuid4(), node_id=node.pk, behind=b, **values, **times) for b in (True, False)]
str(Connection.objects.bulk_create(rows)[0].pk)
"""
#: What moves; a colour that turns into another does not.
MOVING = """
document.getAnimations().map((one) => one.transitionProperty ?? one.animationName)
  .filter((what) => !what.includes("color"))
"""
SEND = """
from realtime import broadcasts
ann = User.objects.get(username='reader')
for level in ('success', 'warning', 'critical'):
    sent = broadcasts.send('Soon.', level=level, audience='staff', sender=ann)
    if level != 'critical': broadcasts.retract(sent, by=ann)
str(sent.pk)
"""


def serious(page: Page, name: str) -> dict[str, list[Any]]:
    """What axe finds on a page in both themes that keeps somebody out."""
    found = {}
    for scheme, rules in (("light", EVERYTHING), ("dark", CONTRAST)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(300)  # the admin's links change their colour slowly
        assert page.evaluate(MOVING) == []
        for one in Axe().run(page, options=rules).response["violations"]:
            if one["impact"] in ("serious", "critical"):
                found[f"{one['id']} {name} {scheme}"] = [node["target"] for node in one["nodes"]]
    page.emulate_media(color_scheme="light")
    return found


@pytest.fixture
def read(staffed: Site, visit: Callable[..., Visit]) -> Callable[[str], Page]:
    """Open pages as somebody who may do everything; nothing moves on them unasked."""
    page = visit(user="reader", path=LIST)
    page.forgiven = "favicon|404|inline style|preload assets"  # axe's own
    page.page.emulate_media(reduced_motion="reduce", color_scheme="light")
    start = page.page.url.split("/admin/")[0]

    def go(path: str) -> Page:
        page.page.goto(f"{start}{path}")
        return page.page

    return go


def test_axe_finds_nothing_serious(page_site: Site, read: Callable[[str], Page]) -> None:
    """On no page and in no theme: names, roles, contrast, order, keyboard."""
    task = page_site.remote().run(MAKE)
    found = {}
    for path in (LIST, f"{LIST}{task}/change/", LIVE):
        page = read(path)
        expect(page.locator(".rt-state")).to_have_attribute("data-state", "live", timeout=15_000)
        found |= serious(page, path)
    assert found == {}
    bars = page.get_by_role("progressbar")
    expect(bars.first).to_have_attribute("aria-label", "Progress of A running task")


def test_axe_finds_nothing_serious_on_lists_and_confirmations(
    page_site: Site, read: Callable[[str], Page]
) -> None:
    """Connections, server processes, events; the pages that ask once more."""
    task, client = page_site.remote().run(MAKE), page_site.remote().run(CONNECT)
    lists = [f"/admin/realtime/{name}/" for name in ("connection", "node", "event")]
    found = {}
    for path in (*lists, f"{lists[0]}{client}/change/", f"{lists[0]}{client}/disconnect/"):
        found |= serious(read(path), path)
    page = read(f"{LIST}{task}/change/")
    page.get_by_role("button", name="Retry…").click()
    expect(page.get_by_role("button", name="Retry 1 task")).to_be_visible()
    assert found | serious(page, "confirmation") == {}


@pytest.mark.requirement("C7")
def test_axe_finds_nothing_serious_on_the_way_of_a_broadcast(
    page_site: Site, read: Callable[[str], Page]
) -> None:
    """The form, its errors and its search, the page that asks once more, what became of it, the history."""
    sent = page_site.remote().run(SEND)
    page = read(f"{BROADCASTS}add/")
    page.get_by_label("Single users").check()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Find users").fill("rea")
    expect(page.get_by_role("button", name="Add reader")).to_be_visible()
    found = serious(page, "form")
    page.get_by_label("Message").fill("Soon.")
    page.get_by_label("Everyone").check()
    page.get_by_label("Level").select_option("critical")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("button", name="Send to everyone")).to_be_visible()
    found |= serious(page, "confirmation")
    page = read(f"{BROADCASTS}{sent}/change/")
    expect(page.locator(".rt-state")).to_have_attribute("data-state", "live", timeout=15_000)
    found |= serious(page, "one broadcast")
    page.get_by_role("button", name="Retract…").click()
    found |= serious(page, "retraction")
    found |= serious(read(BROADCASTS), "history")
    assert found == {}
