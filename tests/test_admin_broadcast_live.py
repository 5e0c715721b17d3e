"""The broadcast form in a real browser: what it shows while it is filled in, and what others see of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.kit.servers import Server
from tests.kit.site import Site
from tests.kit.waiting import eventually
from tests.pages import Visit

ADD, LIST = "/admin/realtime/broadcast/add/", "/admin/realtime/broadcast/"
MARKUP = "<script>window.hit = 1</script>"
RIGHTS = ["realtime.add_broadcast"]
CONNECTED = "from realtime.models import Connection\nConnection.objects.count()"
#: A row that did not go through the door where markup is taken out.
STORE = """
from datetime import timedelta
from django.utils import timezone
now = timezone.now()
fields = {"title": text, "message": text, "audience": {"kind": "staff"}}
stored = Broadcast.objects.create(published_at=now, ends_at=now + timedelta(minutes=5), **fields)
"""
#: Milliseconds: generous, for the condition comes long before.
DEADLINE = 15_000

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def desk() -> Iterator[Site]:
    """A site with somebody who may send, and two who may be reached; who is connected is soon known."""
    settings = {"CONNECTIONS_INTERVAL": 0.1, "LOG_CHECK_INTERVAL": 0.2}
    with Site(redis=True, settings=settings, env={"DEBUG": "1"}) as site:
        site.create_user("sender", RIGHTS, staff=True)
        for name in ("bob", "bobby"):
            site.create_user(name)
        yield site


@pytest.fixture(scope="module")
def server(desk: Site) -> Server:
    """Its first server process."""
    return desk.start("daphne")


@pytest.fixture
def enter(desk: Site, visit: Open) -> Open:
    """Open a page of this site as one of its users."""

    def open_page(user: str, server: Server, path: str) -> Visit:
        page = visit(user=None, server=server, path="/accounts/login/")
        page.forgiven = "favicon|404"
        cookie = {"name": "sessionid", "value": desk.session_key(user), "url": server.url}
        page.context.add_cookies([cookie])  # type: ignore[list-item]
        page.page.goto(f"{server.url}{path}")
        return page

    return open_page


def panes(page: Page) -> list[Locator]:
    """The notice as previewed on a light and on a dark page."""
    return [page.locator(f"[data-rt-theme={theme}] .rt-notice") for theme in ("light", "dark")]


def color(place: Locator) -> str:
    """The colour of a place as the browser has computed it."""
    return str(place.evaluate("element => getComputedStyle(element).backgroundColor"))


def notice(page: Visit, text: str) -> Locator:
    """A notice on the page of somebody."""
    return page.page.get_by_role("listitem").filter(has_text=text)


@pytest.mark.requirement("C7", "K20")
def test_the_preview_follows_what_is_typed(server: Server, enter: Open) -> None:
    """In both themes at once, as the component draws it; markup is text, and the page says it will go."""
    page = enter("sender", server, ADD).page
    light, dark = panes(page)
    page.get_by_label("Title").press_sequentially(f"{MARKUP}Power")
    page.get_by_label("Message").fill("At 22:00.\nFor an hour.")
    for pane in (light, dark):
        expect(pane.locator(".rt-title")).to_have_text(f"{MARKUP}Power")
        expect(pane.locator(".rt-message")).to_have_text("At 22:00.\nFor an hour.")
        expect(pane).to_have_attribute("data-level", "info")
        expect(pane.locator(".rt-dismiss")).to_have_count(1)
        expect(pane.locator(".rt-facts")).to_contain_text("From sender")
    assert color(light) != color(dark)
    expect(page.get_by_text("What looks like markup is taken out")).to_be_visible()
    page.get_by_label("Level").select_option("warning")
    page.get_by_label("Type").select_option("alert")
    page.get_by_label("Dismissible").uncheck()
    for pane in (light, dark):
        expect(pane.locator(".rt-level")).to_have_text("Warning")
        expect(pane).to_have_attribute("data-type", "alert")
        expect(pane.locator(".rt-dismiss")).to_have_count(0)
    expect(page.get_by_text("Sent as an alert.")).to_be_visible()
    expect(page.locator("#broadcast-preview script")).to_have_count(0)
    assert page.evaluate("window.hit === undefined")


@pytest.mark.requirement("C7")
def test_the_reach_follows_the_audience(desk: Site, server: Server, enter: Open) -> None:
    """Asked when it changes and now and then; users are found by the keyboard; it says as of when."""
    bob = enter("bob", server, "/")
    bob.wait_state("live")
    eventually(lambda: desk.remote().run(CONNECTED) == 1)
    page = enter("sender", server, ADD).page
    figure = page.locator(".broadcast-reach .broadcast-figure")
    expect(page.get_by_label("Users:", exact=True)).to_be_hidden()
    expect(figure).to_have_text("1 connection of 1 user", timeout=DEADLINE)
    expect(page.locator(".broadcast-reach")).to_contain_text(
        re.compile(r"As of \d\d:\d\d:\d\d \(UTC\), \d+\ss ago")
    )
    page.get_by_label("Staff").check()
    expect(figure).to_have_text("0 connections of 0 users", timeout=DEADLINE)
    page.get_by_label("Single users").check()
    expect(figure).to_have_text("Name somebody.", timeout=DEADLINE)
    page.get_by_label("Find users").press_sequentially("bob")
    add = page.get_by_role("button", name="Add bobby")
    expect(add).to_be_visible()
    expect(page.get_by_text("2 found")).to_be_visible()
    page.get_by_label("Find users").press("Enter")
    expect(page.get_by_label("Users:", exact=True)).to_have_value("bob")
    expect(figure).to_have_text("1 connection of 1 user", timeout=DEADLINE)
    again = enter("bob", server, "/")
    again.wait_state("live")
    expect(figure).to_have_text("2 connections of 1 user", timeout=DEADLINE)  # nobody asked for it
    assert ADD in page.url  # the Enter has sent nothing


@pytest.mark.requirement("C1", "C6", "C7", "K20")
def test_what_is_sent_appears_elsewhere_and_the_count_moves(desk: Site, server: Server, enter: Open) -> None:
    """In the browsers of others at once; a process that was slow to tell is added; retracted, it is gone."""
    second = desk.start("daphne")
    bob, bobby = enter("bob", server, "/"), enter("bobby", second, "/")
    for other in (bob, bobby):
        other.wait_state("live")
    eventually(lambda: desk.remote().run(CONNECTED) == 2)
    page = enter("sender", server, ADD).page
    page.get_by_label("Title").fill(f"{MARKUP}Power")
    page.get_by_label("Message").fill(f"At 22:00. {MARKUP}")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Send this broadcast?")).to_be_visible()
    expect(page.locator("[data-fact=title]")).to_have_text("window.hit = 1Power")
    expect(panes(page)[1].locator(".rt-title")).to_have_text("window.hit = 1Power")
    expect(page.locator(".broadcast-reach")).to_contain_text("2 connections of 2 users", timeout=DEADLINE)
    second.pause()
    page.get_by_role("button", name="Send to everyone").dblclick()
    figure = page.locator("#broadcast-now .broadcast-figure")
    expect(notice(bob, "At 22:00.")).to_be_visible(timeout=DEADLINE)
    expect(figure).to_have_text("Reached 1 of about 2 connections.", timeout=DEADLINE)
    expect(page.locator("#broadcast-now")).to_contain_text("1 of 2 server processes told")
    second.resume()
    expect(figure).to_have_text("Reached 2 connections.", timeout=DEADLINE)
    expect(page.locator("#broadcast-now")).to_contain_text("Complete: 2 server processes were alive")
    expect(notice(bobby, "At 22:00.")).to_be_visible(timeout=DEADLINE)
    sent = "Broadcast.objects.filter(title__endswith='Power').count()"
    assert desk.remote().run(sent) == 1  # of a double click
    page.get_by_role("button", name="Retract…").click()
    page.get_by_role("button", name="Retract 1 broadcast").click()
    for other in (bob, bobby):
        expect(notice(other, "At 22:00.")).to_have_count(0, timeout=DEADLINE)
        assert other.page.evaluate("window.hit === undefined")
    expect(page.locator("#broadcast-now")).to_contain_text("Retracted by sender")
    expect(page.get_by_role("button", name="Retract…")).to_have_count(0)
    bobby.page.close()  # or it would say that its server has gone
    second.stop()


@pytest.mark.requirement("C7")
def test_the_page_of_a_broadcast_sees_what_others_do_to_it(desk: Site, server: Server, enter: Open) -> None:
    """Retracted by somebody else, it says so, and offers nothing more; markup in a row is text everywhere."""
    stored = desk.remote().run(f"{STORE}; str(stored.pk)".replace("\n;", ";"), text=MARKUP)
    page = enter("sender", server, f"{LIST}{stored}/change/").page
    now = page.locator("#broadcast-now")
    expect(now).to_contain_text("Sent")
    expect(page.locator(".field-title .readonly")).to_have_text(MARKUP)
    expect(page.locator(".rt-state")).to_have_attribute("data-state", "live", timeout=DEADLINE)
    desk.remote().run(
        "from realtime import broadcasts\nbroadcasts.retract(Broadcast.objects.get(pk=pk))", pk=stored
    )
    expect(now).to_contain_text("Retracted", timeout=DEADLINE)
    expect(page.get_by_role("button", name="Retract…")).to_be_hidden()
    page.goto(f"{server.url}{LIST}")
    expect(page.get_by_role("link", name=MARKUP)).to_be_visible()
    assert page.evaluate("window.hit === undefined")


@pytest.mark.requirement("C7")
def test_everything_works_without_javascript(desk: Site, server: Server, browser: Browser) -> None:
    """The form, its errors, the page that asks once more, the way back, the sending, and taking it back."""
    with browser.new_context(java_script_enabled=False) as context:
        cookie = {"name": "sessionid", "value": desk.session_key("sender"), "url": server.url}
        context.add_cookies([cookie])  # type: ignore[list-item]
        page = context.new_page()
        page.goto(f"{server.url}{ADD}")
        expect(page.locator(".broadcast-reach")).to_contain_text("connections of")
        page.get_by_label("Title").fill("Plain")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("This field is required.")).to_be_visible()
        page.get_by_label("Message").fill("Without scripts.")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("button", name="Back").click()
        expect(page.get_by_label("Message")).to_have_value("Without scripts.")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("button", name="Send to everyone").click()
        expect(page.locator("#broadcast-now")).to_contain_text("Reached")
        page.get_by_role("button", name="Retract…").click()
        page.get_by_role("button", name="Retract 1 broadcast").click()
        expect(page.locator("#broadcast-now")).to_contain_text("Retracted by sender")
