"""The page in a real browser: it moves, it says when it is cut off, it comes back without a repeat."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from realtime.testing.view import View
from tests.kit import leaks
from tests.kit.site import Site
from tests.kit.stopwatch import Stopwatch
from tests.pages import Visit

#: Milliseconds that the page of a busy machine may take. Usually it is there within a second.
MS = 15_000
CREATE = "task = Task.objects.create(name=name, owner=User.objects.get(username='demo')); str(task.pk)"


@pytest.mark.requirement("F1", "S10")
def test_a_task_of_another_process_moves_within_a_second(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """It appears, its bar follows each report, and it ends with its result; no reload, no poll."""
    page = visit()
    page.wait_state("live")
    worker = page_site.remote()
    task = worker.run(CREATE, name="Import of the orders")
    expect(page.row(task)).to_contain_text("Waiting", timeout=MS)
    worker.run("task.start()")
    clock = Stopwatch()
    for percent in (20, 30, 40, 50, 60):
        worker.run("task.report(percent, message='Reading')", percent=percent)
        with clock.lap():
            page.expect_progress(task, percent)
    assert clock.usual < 1
    worker.run("task.complete(result={'rows': 1204})")
    expect(page.row(task)).to_contain_text("Completed", timeout=MS)
    expect(page.row(task).locator(".rt-result")).to_have_text("rows1,204")


@pytest.mark.requirement("K2", "F1")
def test_a_worker_finishes_a_task_and_browsers_on_other_processes_see_it_within_a_second(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """Two web processes and a worker: whichever server a browser came to, it is told at once."""
    pages = [visit(), visit(server=page_site.start("uvicorn"))]
    for page in pages:
        page.wait_state("live")
    worker, clock = page_site.remote(), Stopwatch()
    for number in range(3):
        task = worker.run(CREATE, name=f"Nightly export {number}")
        worker.run("task.start()")
        for page in pages:
            expect(page.row(task)).to_contain_text("Running", timeout=MS)
        worker.run("task.complete(result={'rows': 7})")
        with clock.lap():
            for page in pages:
                expect(page.row(task)).to_contain_text("Completed", timeout=MS)
    assert clock.usual < 1


@pytest.mark.requirement("K3")
def test_a_server_that_is_killed_costs_the_page_nothing(page_site: Site, visit: Callable[..., Visit]) -> None:
    """The page says that it reconnects, resumes at its cursor, and shows each change once."""
    server, worker = page_site.start("daphne"), page_site.remote()
    page = visit(server=server)
    page.forgiven = "ERR_CONNECTION_REFUSED"  # the browser reports each attempt while nobody listens
    page.wait_state("live")
    task = worker.run(CREATE, name="Export")
    worker.run("task.start(); task.report(30)")
    page.expect_progress(task, 30)
    server.kill()
    page.wait_state("reconnecting")
    expect(page.connection.locator(".rt-state")).to_have_text("Reconnecting…")
    expect(page.connection).to_contain_text("Shown as of")
    expect(page.connection.locator(".rt-wait")).to_have_text(re.compile(r"^in \d+ s$"), timeout=60_000)
    expect(page.page.locator("task-list")).to_have_attribute("data-old", "")
    worker.run("task.report(70); task.fail(error='The disk is full.')")
    other = worker.run(CREATE, name="Made meanwhile")
    page.expect_progress(task, 30)
    page_site.start("daphne", port=server.port)
    page.wait_state("live", seconds=30)
    expect(page.row(task)).to_contain_text("The disk is full.")
    expect(page.row(other)).to_contain_text("Waiting")
    view = View().feed_all(page.frames)
    assert view.violations == []
    assert [f["recovered"] for f in page.frames if f["type"] == "subscribed" and "recovered" in f] == [True]
    rows = worker.run(
        "{str(t.pk): (t.version, t.status) for t in Task.objects.filter(owner__username='demo')}"
    )
    assert {pk: [row["version"], row["status"]] for pk, row in view.rows.items()} == rows
    expect(page.page.locator("task-list task-progress")).to_have_count(len(rows))


@pytest.mark.requirement("K17")
def test_times_are_the_databases_in_the_readers_own_zone(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """A time read by JavaScript is the database's to the millisecond; the page shows it as local."""
    page = visit()
    page.wait_state("live")
    worker = page_site.remote()
    task = worker.run(CREATE, name="Report")
    worker.run("task.start(); task.complete()")
    expect(page.row(task)).to_contain_text("Completed")
    for field in ("created_at", "started_at", "finished_at"):
        stored = datetime.fromisoformat(worker.run(f"Task.objects.get(pk=pk).{field}.isoformat()", pk=task))
        parsed = page.page.evaluate("text => Date.parse(text)", page.last(task)[field])
        assert parsed == (stored - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    started = datetime.fromisoformat(page.last(task)["started_at"]).astimezone(ZoneInfo("Asia/Kolkata"))
    expect(page.row(task)).to_contain_text(f"Started {started:%H:%M:%S}")


def test_markup_in_a_task_is_text(page_site: Site, visit: Callable[..., Visit]) -> None:
    """A name, a message and an error with markup are shown as they were written, and do nothing."""
    markup = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    page = visit()
    page.wait_state("live")
    worker = page_site.remote()
    task = worker.run(CREATE, name=markup)
    worker.run("task.start(); task.report(1, phase=markup, message=markup)", markup=markup)
    expect(page.row(task).locator(".rt-message")).to_have_text(f"{markup}: {markup}")
    worker.run("task.fail(error=markup)", markup=markup)
    expect(page.row(task).locator(".rt-message")).to_have_text(markup)
    expect(page.row(task).locator(".rt-name")).to_have_text(markup)
    expect(page.page.locator("main script, main img")).to_have_count(0)
    assert page.page.evaluate("window.hit === undefined")


def test_the_page_fits_a_narrow_screen(page_site: Site, visit: Callable[..., Visit]) -> None:
    """Long names wrap, long messages are cut, and nothing scrolls sideways on 320 pixels."""
    page = visit()
    page.page.set_viewport_size({"width": 320, "height": 640})
    worker = page_site.remote()
    task = worker.run(CREATE, name="orders-of-all-regions/" * 8)
    worker.run("task.start(); task.report(1, message='reading the rows of the orders ' * 9)")
    expect(page.row(task)).to_contain_text("reading")
    assert page.page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.row(task).bounding_box()["width"] <= 320 - 2 * 16


@pytest.mark.requirement("S13")
def test_the_cookie_of_the_session_is_all_it_needs(visit: Callable[..., Visit]) -> None:
    """After the log-in the page is live; no address and no source of it holds a credential."""
    page = visit(user=None)
    page.log_in("other")
    page.wait_state("live")
    (session,) = [cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "sessionid"]
    assert len(page.sockets) == 1
    assert not any(urlsplit(address).query for address in page.sockets)
    for text in [page.page.content(), *page.requests, *page.sockets]:
        assert session not in text
        assert [*leaks.find(text)] == []


@pytest.mark.requirement("W14")
def test_logging_out_in_another_tab_ends_it_here(visit: Callable[..., Visit]) -> None:
    """The page tries once more with its cookie, then says that it is disconnected, and how to go on."""
    page = visit(user=None)
    page.log_in("other")
    page.wait_state("live")
    sockets = len(page.sockets)
    tab = page.context.new_page()
    tab.goto(page.page.url)
    tab.get_by_role("button", name="Log out").click()
    page.wait_state("denied", seconds=10)
    expect(page.connection).to_contain_text("Disconnected")
    expect(page.connection.locator(".rt-detail")).to_contain_text("You are logged out.")
    assert page.wait_frame("error")["code"] == "revoked"
    assert len(page.sockets) == sockets + 1
    page.page.get_by_role("link", name="Log in again").click()
    expect(page.page.get_by_label("Username")).to_be_visible()


def test_a_user_who_is_no_longer_active_is_told(page_site: Site, visit: Callable[..., Visit]) -> None:
    """The account is closed while the page is open: what it shows stays, as what it was."""
    page = visit(user="gone")
    page.wait_state("live")
    page_site.remote().run("user = User.objects.get(username='gone'); user.is_active = False; user.save()")
    page.wait_state("denied")
    expect(page.connection).to_contain_text("You are logged out.")
    assert page.wait_frame("error")["code"] == "user_inactive"


def test_somebody_else_who_logs_in_sees_nothing_of_the_one_before(
    page_site: Site, visit: Callable[..., Visit]
) -> None:
    """In the same browser, while the page is open: it comes back as the other's, with his name on top."""
    worker = page_site.remote()
    worker.run("task = Task.objects.create(name='His own', owner=User.objects.get(username='leaver'))")
    page = visit(user="leaver")
    expect(page.page.locator("task-list li")).to_contain_text(["His own"])
    key = page_site.session_key("other")
    page.context.add_cookies([{"name": "sessionid", "value": key, "url": page.page.url}])
    worker.run("user = User.objects.get(username='leaver'); user.set_unusable_password(); user.save()")
    expect(page.page.get_by_role("button", name="Log out other")).to_be_visible(timeout=15_000)
    page.wait_state("live")
    expect(page.page.locator("task-list li")).to_have_count(0)
