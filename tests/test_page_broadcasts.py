"""Broadcasts on the page: they come, they are text, they go when they are retracted or over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.kit.site import Site
from tests.pages import Visit

MARKUP = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
SEND = "from realtime import broadcasts; str(broadcasts.send(message, **options).pk)"
RETRACT = """
from realtime import broadcasts
for sent in Broadcast.objects.filter(retracted_at=None, message__startswith=start): broadcasts.retract(sent)
"""
ENDING = """
from datetime import timedelta
from django.utils import timezone
options = {"ends_at": timezone.now() + timedelta(seconds=3)}
"""
#: Look at each frame that is drawn, from the first on, for a notice that may be dismissed.
FLASHES = """
window.drawn = 0;
window.flashed = [];
const look = () => {
  window.drawn += 1;
  const items = [...document.querySelectorAll(".rt-notice")];
  const item = items.find((one) => one.textContent.includes("Tea is ready."));
  if (item?.checkVisibility()) window.flashed.push(window.drawn);
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
#: A row that did not go through the door where markup is taken out.
STORE = """
from datetime import timedelta
from django.utils import timezone
now = timezone.now()
fields = {"title": text, "message": text, "sender_name": text}
stored = Broadcast.objects.create(published_at=now, ends_at=now + timedelta(hours=1), **fields)
"""


@pytest.fixture(autouse=True)
def nothing_left(page_site: Site) -> Iterator[None]:
    """What a test has sent is taken back after it."""
    yield
    retract(page_site)


def send(site: Site, message: str, **options: Any) -> None:
    """Send from another process."""
    site.remote().run(SEND, message=message, options=options)


def retract(site: Site, start: str = "") -> None:
    """Take back all that begin so, from another process."""
    site.remote().run(RETRACT, start=start)


def notice(page: Visit, text: str) -> Locator:
    """The element of a notice."""
    return page.page.locator("broadcast-banner .rt-notice").filter(has_text=text)


@pytest.mark.requirement("C1", "C6")
def test_a_broadcast_comes_and_goes_when_it_is_retracted(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """With its title, its level as a word, no reload; taken back, nothing of it is left."""
    page = visit()
    page.wait_state("live")
    expect(page.page.locator(".rt-notices")).to_be_hidden()
    words = ["At 22:00.\nFor an hour.", "--title", "Maintenance", "--level", "warning"]
    sent = page_site.manage("broadcast", *words).partition(":")[0]
    shown = notice(page, "At 22:00.")
    expect(shown.get_by_text("Maintenance")).to_be_visible(timeout=2000)
    expect(shown).to_contain_text("Warning")
    expect(shown).not_to_contain_text("From")
    page_site.manage("broadcast", "--retract", sent)
    expect(shown).to_have_count(0, timeout=2000)
    expect(page.page.locator(".rt-notices")).to_be_hidden()


@pytest.mark.requirement("C4", "C5")
def test_who_comes_later_sees_what_is_current(page_site: Site, visit: Callable[..., Visit]) -> None:
    """The newest first, with its sender and its time."""
    send(page_site, "The older one.")
    page_site.remote().run(
        "options = {'sender': User.objects.get(username='other'), 'level': 'critical'}; " + SEND,
        message="The newer one.",
    )
    page = visit()
    items = page.page.locator("broadcast-banner .rt-notice")
    expect(items).to_contain_text(["The newer one.", "The older one."])
    expect(items.first).to_contain_text("Critical")
    expect(items.first).to_contain_text("From other")
    expect(items.first.locator(".rt-facts")).to_have_text(re.compile(r"^From other · .* \d\d:\d\d$"))


@pytest.mark.requirement("C5")
def test_a_broadcast_that_is_over_goes_by_itself(page_site: Site, visit: Callable[..., Visit]) -> None:
    """At its end, though nothing is sent then."""
    page = visit()
    page.wait_state("live")
    page_site.remote().run(ENDING + SEND, message="Only for seconds.")
    expect(notice(page, "Only for seconds.")).to_be_visible()
    expect(notice(page, "Only for seconds.")).to_have_count(0)
    end = datetime.fromisoformat(page.wait_frame("broadcast")["message"]["ends_at"])
    assert datetime.now(UTC) >= end - timedelta(milliseconds=50)
    assert "broadcast_retracted" not in [frame["type"] for frame in page.frames]


@pytest.mark.requirement("C5")
def test_who_dismisses_one_does_not_see_it_again(page_site: Site, visit: Callable[..., Visit]) -> None:
    """Not for a moment after a reload either; one that is not dismissible has no button."""
    send(page_site, "Tea is ready.", title="Tea")
    send(page_site, "Leave the house.", dismissible=False)
    page = visit()
    expect(notice(page, "Leave the house.").get_by_role("button")).to_have_count(0)
    page.page.get_by_role("button", name="Dismiss: Tea").press("Enter")
    expect(notice(page, "Tea is ready.")).to_have_count(0)
    expect(page.page.get_by_role("main")).to_be_focused()
    page.page.route_web_socket(re.compile(r"/ws"), lambda line: None)  # what was rendered stays
    page.page.add_init_script(FLASHES)
    page.page.reload()
    expect(notice(page, "Leave the house.")).to_be_visible()
    expect(notice(page, "Tea is ready.")).to_have_count(0)
    assert page.page.evaluate("window.drawn > 0 && window.flashed") == []
    page.page.unroute_all()


@pytest.mark.requirement("C3", "K20")
def test_markup_in_a_broadcast_does_nothing(page_site: Site, visit: Callable[..., Visit]) -> None:
    """It is taken out of what is sent; where a row holds some nevertheless, it is shown as text."""
    page_site.remote().run(STORE, text=MARKUP)
    page = visit()
    stored = page.page.locator("broadcast-banner .rt-notice")
    expect(stored.locator(".rt-title")).to_have_text(MARKUP)
    expect(stored.locator(".rt-message")).to_have_text(MARKUP)
    expect(stored.locator(".rt-facts")).to_contain_text(f"From {MARKUP}")
    page.wait_state("live")
    send(page_site, f"{MARKUP}Cleaned", title=f"{MARKUP}Title")
    expect(notice(page, "Cleaned")).to_be_visible()
    assert "<" not in "".join(page.frames[-1]["message"][field] for field in ("title", "message"))
    expect(page.page.locator("main script, main img")).to_have_count(0)
    assert page.page.evaluate("window.hit === undefined")


@pytest.mark.requirement("C6")
def test_one_retracted_while_the_page_was_cut_off_goes_when_it_is_back(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """The page resumes: what came and went meanwhile is told, and what stayed is shown once."""
    server = page_site.start("daphne")
    send(page_site, "Soon retracted.")
    send(page_site, "Here to stay.")
    page = visit(server=server)
    page.forgiven = "ERR_CONNECTION_REFUSED"
    page.wait_state("live")
    expect(page.page.locator("broadcast-banner .rt-notice")).to_have_count(2)
    server.kill()
    page.wait_state("reconnecting")
    retract(page_site, "Soon")
    send(page_site, "Sent meanwhile.")
    page_site.start("daphne", port=server.port)
    page.wait_state("live", seconds=30)
    expect(page.page.locator("broadcast-banner .rt-notice")).to_contain_text(
        ["Sent meanwhile.", "Here to stay."]
    )
