"""The elements on a page under a strict policy: they say what is, in words, and never more than is known."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.kit.middlebox import Middlebox
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.pages import Visit
from tests.scripted import CREATE

STYLES = Path(__file__).parent.parent / "realtime" / "static" / "realtime" / "realtime.css"
#: A page as a template of the site would have it.
RENDER = """
from django.template import Context, Template
class request: user = User.objects.get(username='demo')
names = {'request': request, 'task': Task.objects.filter(pk=pk).first()}
Template('{% load realtime %}' + text).render(Context(names))
"""
HEAD = '<!doctype html><html lang="en"><head><title>A page</title>{% realtime_scripts %}</head>'
SEND = "from realtime import broadcasts; str(broadcasts.send(message, **options).pk)"
RETRACT = "from realtime import broadcasts; broadcasts.retract(Broadcast.objects.get(pk=pk))"
MARKUP = "<img src=x onerror='window.hit = 1'>"


@pytest.fixture
def show(
    page_site: Site, page_server: Server, session_of: Callable[[str], str], visit: Callable[..., Visit]
) -> Callable[..., Visit]:
    """Open a page with this body, in which the tags stand for what they stand for."""

    def open_page(body: str, task: str | None = None, server: Any = page_server) -> Visit:
        worker = page_site.remote()
        text = f"{HEAD}<body><main>{body}</main></body></html>"
        html = worker.run(RENDER, text=text, pk=task)
        page = visit(user=None, server=server, path="/accounts/login/")
        page.context.add_cookies([{"name": "sessionid", "value": session_of("demo"), "url": server.url}])
        # In the place of a page that the server sent, and so under the policy that came with it.
        policy = page.page.request.get(page.page.url).headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; ")
        assert "unsafe" not in policy
        page.page.set_content(html)
        return page

    return open_page


def bar(page: Visit) -> Locator:
    """The task's progress bar, as assistive technology knows it."""
    return page.page.locator("task-progress").get_by_role("progressbar")


def expect_state(page: Visit, state: str, words: str) -> None:
    """Wait until the task's element is in that state, and says so."""
    expect(page.page.locator("task-progress")).to_have_attribute("data-state", state, timeout=15_000)
    expect(page.page.locator("task-progress .rt-state")).to_contain_text(words)


@pytest.mark.requirement("K19")
def test_a_task_moves_through_its_states_and_its_bar_never_goes_back(
    page_site: Site, show: Callable[..., Visit]
) -> None:
    """Waiting, running without and with a known length, cancelling, cancelled; all under the policy."""
    worker = page_site.remote()
    task = worker.run(CREATE, name=f"Import {MARKUP}")
    page = show("{% task_progress task %}<connection-status></connection-status>", task)
    expect_state(page, "waiting", "Waiting")
    expect(page.page.locator("connection-status")).to_have_text("Live")
    expect(page.page.locator("task-progress .rt-name")).to_have_text(f"Import {MARKUP}")
    worker.run("task.start()")
    expect_state(page, "running", "Running")
    expect(bar(page)).not_to_have_attribute("aria-valuenow", re.compile(r".*"))
    expect(page.page.locator("task-progress")).to_have_attribute("data-indeterminate", "")
    for motion, moves in (("no-preference", True), ("reduce", False)):
        page.page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
        assert page.page.evaluate("document.getAnimations().length > 0") == moves
    worker.run("task.progress = 60; task.save()")
    expect(bar(page)).to_have_attribute("aria-valuenow", "60")
    assert page.page.evaluate("document.getAnimations()") == []  # nor on the way there
    expect(page.page.locator("task-progress .rt-pace")).to_have_text(re.compile("seconds left|about .* left"))
    worker.run("task.progress, task.message = 40, 'once more'; task.save()")
    expect(page.page.locator("task-progress .rt-message")).to_have_text("once more")
    expect(bar(page)).to_have_attribute("aria-valuenow", "60")
    worker.run("task.progress = 100; task.save()")
    expect(bar(page)).to_have_attribute("aria-valuenow", "99")
    worker.run("Task.objects.get(pk=pk).cancel()", pk=task)
    expect_state(page, "cancelling", "Cancelling")
    expect(page.page.locator("task-progress .rt-pace")).to_be_hidden()
    worker.run("task.refresh_from_db(); task.cancel()")
    expect_state(page, "cancelled", "Cancelled")
    expect(bar(page)).to_have_attribute("aria-valuenow", "99")
    expect(page.page.locator("[role=status].rt-announcer")).to_contain_text("Cancelled.")
    assert page.page.evaluate("window.hit === undefined")


def test_the_end_fills_the_bar_and_a_failure_gives_its_reason(
    page_site: Site, show: Callable[..., Visit]
) -> None:
    """Only the end is 100 %; an error is shown in words."""
    worker = page_site.remote()
    task = worker.run(CREATE, name="Export")
    page = show("{% task_progress task %}", task)
    worker.run("task.start(); task.complete()")
    expect_state(page, "done", "Completed")
    expect(bar(page)).to_have_attribute("aria-valuenow", "100")
    other = worker.run(CREATE, name="Other")
    page.page.evaluate("id => document.querySelector('task-progress').setAttribute('task-id', id)", other)
    expect_state(page, "waiting", "Waiting")
    worker.run("task.start(); task.fail(error='The disk is full.')")
    expect_state(page, "failed", "Failed")
    expect(page.page.locator("task-progress .rt-message")).to_have_text("The disk is full.")


def test_a_task_that_is_silent_or_not_ours_says_so(page_site: Site, show: Callable[..., Visit]) -> None:
    """No news is no progress; and a task of somebody else looks like none."""
    worker = page_site.remote()
    task = worker.run(CREATE, name="Silent")
    worker.run("task.start()")
    page = show(f'<task-progress task-id="{task}" stale-after="2"></task-progress>')
    expect_state(page, "stale", "No news")
    worker.run("task.report(30)")
    expect_state(page, "running", "Running")
    foreign = worker.run(CREATE.replace("'demo'", "'gone'"), name="His")
    page.page.evaluate("id => document.querySelector('task-progress').setAttribute('task-id', id)", foreign)
    expect_state(page, "denied", "Not available")
    expect(page.page.locator("task-progress")).not_to_contain_text("His")


def test_what_may_be_old_says_so(page_site: Site, page_server: Server, show: Callable[..., Visit]) -> None:
    """Without a connection the task says that too, and goes on when there is one."""
    worker = page_site.remote()
    task = worker.run(CREATE, name="Cut off")
    worker.run("task.start(); task.report(20)")
    with Middlebox(page_server) as box:
        page = show("{% task_progress task %}<connection-status></connection-status>", task, server=box)
        page.forgiven = r"WebSocket connection to|Failed to load resource"
        expect(bar(page)).to_have_attribute("aria-valuenow", "20")
        expect(page.page.locator("connection-status")).to_have_attribute("data-state", "live")
        box.open = False
        box.cut()
        expect(page.page.locator("task-progress .rt-connection")).to_have_text("Reconnecting…")
        expect(page.page.locator("connection-status")).to_contain_text("Shown as of")
        worker.run("task.report(80)")
        box.open = True
        expect(bar(page)).to_have_attribute("aria-valuenow", "80", timeout=60_000)
        expect(page.page.locator("task-progress .rt-connection")).to_be_hidden()


def test_a_list_shows_the_users_tasks_and_a_banner_the_notices(
    page_site: Site, show: Callable[..., Visit]
) -> None:
    """New ones come on top, deleted ones go; a notice has its level in words, is put away or taken back."""
    worker = page_site.remote()
    options = {"level": "warning", "title": "Maintenance"}
    first = worker.run(SEND, message=f"Back at ten. {MARKUP}", options=options)
    page = show('{% broadcasts %}<task-list topic="mine" label="My tasks"></task-list>')
    notice = page.page.locator(".rt-notice")
    expect(notice).to_contain_text("Warning")
    task = worker.run(CREATE, name="The newest")
    items = page.page.locator("task-list li")
    expect(items.first).to_contain_text("The newest")
    expect(page.page.get_by_role("list", name="My tasks")).to_be_visible()
    before = items.count()
    worker.run("Task.objects.get(pk=pk).delete()", pk=task)
    expect(items).to_have_count(before - 1)
    second = worker.run(SEND, message="All is well.", options={"level": "success"})
    expect(notice).to_have_count(2)
    notice.first.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(1)
    expect(notice).to_contain_text("Back at ten.")
    worker.run(RETRACT, pk=first)
    expect(notice).to_have_count(0)
    worker.run(RETRACT, pk=second)
    assert page.page.evaluate("window.hit === undefined")


def test_a_list_says_when_there_are_more(page_site: Site, show: Callable[..., Visit]) -> None:
    """Rendered and live: so many are shown, those that work and the newest, and that there are others."""
    worker = page_site.remote()
    worker.run("Task.objects.filter(owner__username='demo').delete(); None")
    first = worker.run(CREATE, name="First")
    for name in ("Second", "Third"):
        worker.run(CREATE, name=name)
        worker.run("task.start(); task.complete()")
    page = show("{% task_list limit=2 %}")
    expect(page.page.locator("task-list .rt-name")).to_have_text(["First", "Third"])
    expect(page.page.locator(".rt-more")).to_have_text("Only 2 are shown: the active ones and the newest.")
    worker.run(CREATE, name="Fourth")
    expect(page.page.locator("task-list .rt-name")).to_have_text(["Fourth", "First"])
    worker.run("task = Task.objects.get(pk=pk); task.start(); task.complete()", pk=first)
    expect(page.page.locator("task-list .rt-state").nth(1)).to_contain_text("Completed")
    expect(page.page.locator(".rt-more")).to_have_text("Only 2 are shown: the active ones and the newest.")


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_of_a_text_can_be_read_on_its_surface() -> None:
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3) in light and dark, and both dark ones are the same."""
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", STYLES.read_text())
    light, by_system, by_choice = [dict(re.findall(r"--rt-(\w+): (#\w{6})", block)) for block in blocks]
    assert by_system == by_choice
    for theme in (light, by_choice):
        surface = _luminance(theme["surface"])
        for name in ("ink", "soft", "waiting", "running", "done", "failed", "warning"):
            lighter, darker = sorted((surface, _luminance(theme[name])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{name} {theme[name]}"
