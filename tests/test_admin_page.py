"""A live page of the admin while one looks at it: its age, silence, more lines, and the way back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.admin_pages import LIST, RIGHTS, SOON, row, state
from tests.kit.site import Site
from tests.pages import PASSWORD, Visit

CREATE = "task = Task.objects.create(name=name); str(task.pk)"
#: Without an event, as if nothing had been told for so many seconds.
LAST_HEARD = """
from datetime import timedelta
from django.db import models
from django.utils import timezone
ago = timezone.now() - timedelta(seconds=seconds)
models.QuerySet(Task).filter(pk=task.pk).update(updated_at=ago, started_at=ago)
"""
#: What of the page lies at a place: the bar, or what one wants to see.
ABOVE = "(e) => e.getBoundingClientRect().bottom"
BELOW = "(e) => e.getBoundingClientRect().top"

Open = Callable[..., Visit]


@pytest.fixture
def watch(staffed: Site, visit: Open) -> Open:
    """Open a page as one who may watch and act, and wait until it is live."""

    def open_page(path: str, user: str = "watcher") -> Visit:
        page = visit(user=user, path=path)
        page.forgiven = "favicon|404|401|403"
        expect(state(page)).to_have_attribute("data-state", "live", timeout=SOON)
        return page

    return open_page


@pytest.mark.parametrize("width", [1280, 390])
def test_the_age_of_what_is_shown_is_seen_wherever_one_has_scrolled(
    staffed: Site, watch: Open, width: int
) -> None:
    """It hides nothing that the keyboard goes to; its link shows what is new, whatever the address."""
    worker = staffed.remote()
    worker.run("for n in range(40): Task.objects.create(name=f'job {n}')")
    page = watch(f"{LIST}#content")
    page.page.set_viewport_size({"width": width, "height": 600})
    page.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.page.locator(".rt-age")).to_be_in_viewport(ratio=1)
    link = page.page.locator("#result_list .field-name a").first
    link.focus()
    assert link.evaluate(BELOW) >= page.page.locator("#rt-bar").evaluate(ABOVE)
    task = worker.run(CREATE, name="Quite new")
    page.page.get_by_role("link", name="1 new task — show").click()
    expect(row(page, task)).to_be_visible(timeout=SOON)


@pytest.mark.requirement("T2")
def test_a_task_that_falls_silent_says_so_without_an_event(staffed: Site, watch: Open) -> None:
    """Until then, and after its next report, its pace stands there. Nothing keeps an old status."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Silent night")
    worker.run("task.start(); task.report(done=50, total=1000)")
    page = watch(f"{LIST}{task}/change/")
    pace, silence = page.page.locator(".rt-speed"), page.page.locator("#rt-now .rt-silence")
    expect(pace).to_contain_text("left", timeout=SOON)
    worker.run(LAST_HEARD, seconds=117)
    worker.run("task.log('still here')")
    page.page.reload()
    expect(silence).to_have_text("No news for 2 min", timeout=SOON)
    expect(pace).to_have_text("")
    worker.run("task.report(done=100)")
    expect(silence).to_have_text("", timeout=SOON)
    expect(pace).to_contain_text("per min · about", timeout=SOON)
    worker.run("task.complete()")
    expect(page.page.locator(".rt-timeline li").last).to_contain_text("Completed", timeout=SOON)
    expect(page.page.get_by_text("(running)")).to_have_count(0)
    expect(page.page).to_have_title("Silent night | Change task | Django site admin")


@pytest.mark.requirement("T8")
def test_the_page_of_a_task_holds_a_bounded_number_of_lines(staffed: Site, watch: Open) -> None:
    """Who reads further up keeps them and is told that there are more; who follows has the last."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Talker")
    worker.run("task.start(); [task.log(f'line {n}') for n in range(1, 11)]; None")
    page = watch(f"{LIST}{task}/change/")
    lines, follow = page.page.locator(".rt-lines li"), page.page.get_by_label("Follow")
    more = page.page.get_by_text("There are more lines")
    expect(lines).to_have_count(10)
    follow.uncheck()
    worker.run("[task.log(f'line {n}') for n in range(11, 2301)]; None")
    expect(more).to_be_visible(timeout=60_000)
    expect(lines).to_have_count(2000)
    expect(lines.last).to_contain_text("line 2000")
    follow.check()
    expect(lines.last).to_contain_text("line 2300", timeout=SOON)
    expect(more).to_be_hidden()
    assert lines.count() <= 2000
    worker.run("task.log('the last')")
    expect(lines.last).to_contain_text("the last", timeout=SOON)
    page.page.get_by_role("button", name="Earlier lines").click()
    expect(lines.first).to_contain_text("line 1901", timeout=SOON)
    worker.run("task.complete()")


def test_who_has_logged_out_is_told_the_way_back(page_site: Site, watch: Open) -> None:
    """After a log-in in another tab the page also goes on by itself when one comes back to it."""
    page_site.create_user("sleeper", [*RIGHTS, "realtime.add_broadcast"], staff=True, password=PASSWORD)
    page = watch(LIST, user="sleeper")
    again = page.page.get_by_role("link", name="Reload, or log in again")
    expect(again).to_be_hidden()
    tab, form = page.context.new_page(), page.context.new_page()
    form.goto(page.page.url.replace("/task/", "/broadcast/add/"))
    tab.goto(page.page.url)
    tab.get_by_role("button", name="Log out").click()
    expect(state(page)).to_have_attribute("data-state", "denied", timeout=SOON)
    expect(again).to_be_visible()
    form.get_by_label("Staff").check()
    expect(form.locator("#broadcast-reach")).to_contain_text("Old: you are logged out.", timeout=SOON)
    tab.goto(page.page.url)
    tab.get_by_label("Username").fill("sleeper")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Log in").click()
    expect(state(page)).to_have_attribute("data-state", "denied")
    page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # headless, all tabs are seen
    expect(state(page)).to_have_attribute("data-state", "live", timeout=SOON)
    expect(again).to_be_hidden()
