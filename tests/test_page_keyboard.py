"""The pages by keyboard and on a phone: one way through, always seen where one is, nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.admin_pages import LIST, LIVE
from tests.kit.site import Site
from tests.pages import Visit

BROADCASTS, CONNECTIONS = "/admin/realtime/broadcast/", "/admin/realtime/connection/"
MAKE = """
owner = User.objects.get(username=name)
Task.objects.filter(owner=owner).delete()
failed = Task.objects.create(name='Export', owner=owner, status='failed', error='The disk is full.')
Task.objects.create(name='A name as long as one of a file: ' + 'orders-of-all-regions/' * 5, owner=owner)
str(failed.pk)
"""
#: Where the focus is: its name, and what one sees of it.
FOCUSED = """
() => {
  const at = document.activeElement;
  const name = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(at);
  const seen = (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none";
  const box = at.getBoundingClientRect();
  const shown = box.width * box.height > 0;
  return { name: name.trim().replace(/\\s+/g, " "), tag: at.localName, seen: seen && shown };
}
"""
#: The browser's own deadlines come five times as soon; and what buttons have said is kept.
HASTE = """
const timeout = AbortSignal.timeout;
AbortSignal.timeout = (milliseconds) => timeout.call(AbortSignal, milliseconds / 5);
window.said = new Set();
new MutationObserver(() => {
  for (const button of document.querySelectorAll("main button")) window.said.add(button.textContent);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""


def walk(page: Page, steps: int) -> list[dict[str, Any]]:
    """What the Tab key comes to, from the top of the page."""
    page.evaluate("document.activeElement.blur()")
    found = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        found.append(page.evaluate(FOCUSED))
    return found


def test_the_users_page_is_walked_by_keyboard(page_site: Site, visit: Callable[..., Visit]) -> None:
    """In the order of what is seen, each with a frame; after Enter, which does it, one is still there."""
    page_site.remote().run(MAKE, name="asker")
    page = visit(user="asker")
    page.wait_state("live")
    keyboard, jobs = page.page.keyboard, page.page.locator("button.job")
    expect(page.page.get_by_role("button", name="Retry: Export")).to_be_visible()
    count = jobs.count()
    found = walk(page.page, count + 4)
    assert [one["name"] for one in found if not one["seen"]] == []
    names = [one["name"] for one in found]
    assert names[:2] == ["Tasks", "Log out asker"]
    assert names[2 : 2 + count] == [" ".join(text.split()) for text in jobs.all_text_contents()]
    assert [name.partition(":")[0] for name in names[2 + count :]] == ["Cancel", "Retry"]
    keyboard.press("Enter")
    expect(page.page.get_by_role("button", name="Retried: Export")).to_be_focused()
    for _ in range(3):
        keyboard.press("Shift+Tab")
    expect(jobs.last).to_be_focused()
    keyboard.press("Enter")
    expect(page.page.locator("task-list li")).to_have_count(4)
    expect(jobs.last).to_be_focused()
    expect(jobs.last).not_to_have_attribute("aria-disabled", "true")


def test_a_site_that_does_not_answer_is_said(page_site: Site, visit: Callable[..., Visit]) -> None:
    """The button waits in words, and asks once only; then the page says what is known."""
    page_site.remote().run(MAKE, name="asker")
    page = visit(user="asker")
    page.forgiven = "Failed to load|ERR_"
    page.page.add_init_script(HASTE)
    page.page.reload()
    page.wait_state("live")
    asked: list[str] = []
    for address in ("**/tasks/", "**/cancel/"):
        page.page.route(address, lambda route: asked.append(route.request.url))
    job, cancel = page.page.locator("button.job").first, page.page.get_by_role("button", name="Cancel")
    name = job.locator(".what").inner_text()
    job.dblclick()
    cancel.dblclick()
    expect(page.page.locator("#problem")).to_contain_text("The site does not answer.")
    expect(page.page.locator("task-list [role=alert]").first).to_have_text("The site does not answer.")
    expect(job.locator(".what")).to_have_text(name)
    assert len(asked) == 2
    said = page.page.evaluate("[...window.said].join()")
    assert "Starting…" in said
    assert "Cancelling…" in said
    page.page.unroute("**/cancel/")
    page.page.get_by_role("button", name="Cancel: A name").click()
    expect(page.page.locator("task-progress").first).to_have_attribute("data-state", "cancelled")


def test_a_page_of_another_session_says_so(page_site: Site, visit: Callable[..., Visit]) -> None:
    """Who has logged in anew in another tab is told to reload, not of a header that is required."""
    page_site.remote().run(MAKE, name="plain")
    page = visit(user=None)
    page.forgiven = "403"
    page.log_in("plain")
    page.wait_state("live")
    cookies = [one for one in page.context.cookies() if one["name"] == "csrftoken"]
    page.context.add_cookies([{**cookies[0], "value": "a" * 32}])  # type: ignore[list-item]
    page.page.get_by_role("button", name="Cancel").click()
    told = page.page.locator("task-list [role=alert]").first
    expect(told).to_have_text("This page is too old: reload it.")


def test_the_admins_pages_are_walked_by_keyboard_and_fit_a_phone(
    staffed: Site, visit: Callable[..., Visit]
) -> None:
    """The switch, the counts and the rows, each with a frame; Enter filters; 390 pixels are enough."""
    failed = staffed.remote().run(MAKE, name="asker")
    page = visit(user="reader", path=LIST).page
    expect(page.locator(".rt-state")).to_have_attribute("data-state", "live", timeout=15_000)
    found = walk(page, 60)
    assert [one for one in found if not one["seen"] and one["tag"] != "body"] == []
    names = [one["name"] for one in found]
    switch = names.index("Live updates")
    (counted,) = [number for number, name in enumerate(names) if name.startswith("Failed")][:1]
    assert switch < counted < names.index("Export")
    page.get_by_role("link", name="Failed").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#result_list")).to_contain_text("Export")
    assert "failed" in page.url
    page.set_viewport_size({"width": 390, "height": 800})
    start = page.url.split("/admin/")[0]
    wide = {}
    for path in (LIST, f"{LIST}{failed}/change/", LIVE, BROADCASTS, f"{BROADCASTS}add/", CONNECTIONS):
        page.goto(f"{start}{path}")
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            wide[path] = width
    assert wide == {}
