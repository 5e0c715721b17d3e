"""The live admin in a real browser: it moves, it holds still, it says when it is old, and who may see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.admin_pages import LIST, LIVE, SOON, bar, row, state, wait_told
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.kit.stopwatch import Stopwatch
from tests.kit.waiting import eventually
from tests.pages import Visit

CREATE = "task = Task.objects.create(name=name, owner=User.objects.get(username='demo')); str(task.pk)"

Open = Callable[..., Visit]


@pytest.fixture
def watch(staffed: Site, visit: Open) -> Open:
    """Open a page of the admin as the one who may watch, and wait until it is live."""

    def open_page(path: str, **options: Any) -> Visit:
        page = visit(**{"user": "watcher", "path": path, **options})
        page.forgiven = "favicon|404"
        expect(state(page)).to_have_attribute("data-state", "live", timeout=15_000)
        return page

    return open_page


@pytest.mark.requirement("F1")
def test_a_task_of_another_process_moves_in_the_list(staffed: Site, watch: Open) -> None:
    """In its row, within a second; a new one is announced and put nowhere; a reload shows it."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Import of the orders")
    page = watch(LIST)
    mine = row(page, task)
    expect(mine.locator(".rt-word")).to_have_text("Pending")
    worker.run("task.start()")
    expect(mine.locator(".rt-word")).to_have_text("Running", timeout=SOON)
    expect(mine.locator(".field-started time")).to_be_visible()
    clock = Stopwatch()
    for percent in (20, 30, 40, 50, 60):
        worker.run("task.report(percent, phase='Reading')", percent=percent)
        with clock.lap():
            expect(bar(mine)).to_have_js_property("value", percent, timeout=SOON)
    assert clock.usual < 1
    expect(mine.locator(".rt-text")).to_have_text("60 % · Reading")
    rows = page.page.locator("#result_list tbody tr").count()
    worker.run("task.complete(); [Task.objects.create(name=f'new {i}') for i in range(3)]; None")
    expect(bar(mine)).to_have_js_property("value", 100, timeout=SOON)
    news = page.page.get_by_role("link", name="3 new tasks — show")
    expect(news).to_be_visible()
    assert page.page.locator("#result_list tbody tr").count() == rows
    news.click()
    # The list holds fifty, and others have used this site.
    expect(page.page.locator("#result_list tbody tr")).to_have_count(min(rows + 3, 50))
    expect(page.page.locator("#result_list tbody")).to_contain_text("new 2")
    expect(state(page)).to_have_attribute(
        "data-state", "live", timeout=15_000
    )  # no socket cut while it opens


def test_a_ticked_checkbox_freezes_the_list(staffed: Site, watch: Open) -> None:
    """Until it is released: then all that happened meanwhile is there. So does a field."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Nightly export")
    page = watch(LIST)
    mine, held = row(page, task), page.page.locator(".rt-held")
    counted = page.page.locator("[data-count=running]")
    before = counted.text_content() or ""
    mine.locator("input.action-select").check()
    expect(held).to_have_text("Held while tasks are chosen")
    worker.run("task.start()")
    wait_told(page, task, "running")
    expect(mine.locator(".rt-word")).to_have_text("Pending")
    mine.locator("input.action-select").uncheck()
    expect(mine.locator(".rt-word")).to_have_text("Running", timeout=SOON)
    expect(counted).not_to_have_text(before)
    page.page.locator("#searchbar").focus()
    expect(held).to_have_text("Held while you are in a field")
    page.page.locator("#searchbar").blur()
    expect(held).to_be_hidden()


def test_selected_text_and_a_hidden_tab_hold_the_list(staffed: Site, watch: Open) -> None:
    """What somebody is about to copy stays; a tab that nobody sees is drawn when it is looked at."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Weekly export")
    page = watch(LIST)
    word = row(page, task).locator(".rt-word")
    row(page, task).locator(".field-name").select_text()
    expect(page.page.locator(".rt-held")).to_have_text("Held while text is selected")
    worker.run("task.start()")
    wait_told(page, task, "running")
    expect(word).to_have_text("Pending")
    page.page.evaluate("getSelection().removeAllRanges()")
    expect(word).to_have_text("Running", timeout=SOON)
    show = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    show += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.page.evaluate(show, True)
    worker.run("task.complete()")
    wait_told(page, task, "completed")
    expect(word).to_have_text("Running")
    page.page.evaluate(show, False)
    expect(word).to_have_text("Completed", timeout=SOON)


def test_the_switch_is_remembered(staffed: Site, watch: Open) -> None:
    """Off means no connection, also on the next page; on again, it is live again and current."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Switched")
    page = watch(LIST)
    switch = page.page.get_by_role("button", name="Live updates")
    switch.click()
    expect(state(page)).to_have_text("Off")
    page.page.reload()
    expect(state(page)).to_have_text("Off")
    expect(switch).to_have_attribute("aria-pressed", "false")
    worker.run("task.start()")
    switch.press("Enter")
    expect(row(page, task).locator(".rt-word")).to_have_text("Running", timeout=15_000)
    expect(page.page.locator(".rt-age")).to_have_text("updated 0 s ago")


def test_a_server_that_is_killed_is_said_and_caught_up_with(staffed: Site, watch: Open) -> None:
    """The list says that it may be old; the server back, it shows what was missed, each event once."""
    server, worker = staffed.start("daphne"), staffed.remote()
    task = worker.run(CREATE, name="Survivor")
    page = watch(LIST, server=server)
    page.forgiven = "ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|WebSocket|Failed to load|ERR_"
    worker.run("task.name = 'Survivor of the night'; task.save()")
    expect(row(page, task).locator(".field-name")).to_have_text("Survivor of the night", timeout=SOON)
    server.kill()
    expect(state(page)).to_contain_text("what is shown may be old")
    worker.run("task.start(); task.report(30)")
    again = staffed.start("daphne", port=server.port)
    expect(row(page, task).locator(".rt-word")).to_have_text("Running", timeout=40_000)
    expect(state(page)).to_have_text("Live")
    told = [f["id"] for f in page.frames if f["type"].startswith("task_") and "id" in f]
    assert len(told) == len(set(told)) >= 2
    assert [f["recovered"] for f in page.frames if "recovered" in f] == [True]
    again.stop()


@pytest.mark.requirement("T8")
def test_the_page_of_a_task_follows_it(staffed: Site, watch: Open) -> None:
    """Its bar, its lines from the first on, its timeline and buttons; and it warns when the form is stale."""
    worker = staffed.remote()
    task = worker.run(CREATE, name="Training run")
    worker.run("task.start(); [task.log(f'line {n}') for n in range(1, 151)]; import time; time.sleep(0.4)")
    page = watch(f"{LIST}{task}/change/")
    lines = page.page.locator(".rt-lines li")
    expect(lines.last).to_contain_text("line 150")
    worker.run("task.log('<b>late</b>', level='warning'); task.report(40)")
    expect(lines.last).to_contain_text("<b>late</b>", timeout=SOON)
    expect(bar(page.page.locator("#rt-now"))).to_have_js_property("value", 40, timeout=SOON)
    shown = lines.count()
    page.page.get_by_role("button", name="Earlier lines").click()
    expect(lines.first).to_contain_text("line 1")
    assert shown < lines.count() == 151
    worker.run("Task.objects.filter(pk=pk).update(name='Renamed')", pk=task)
    expect(page.page.get_by_role("alert")).to_contain_text("Somebody has changed the name", timeout=SOON)
    expect(page.page.get_by_role("button", name="Mark as failed…")).to_be_visible()
    worker.run("task.complete(result={'rows': 1204})")
    expect(page.page.locator(".field-result_text")).to_contain_text("1204", timeout=SOON)
    expect(page.page.locator(".rt-timeline li").last).to_contain_text("Completed")
    expect(page.page.get_by_role("button", name="Mark as failed…")).to_have_count(0)
    page.page.get_by_role("button", name="Retry…").click()
    page.page.get_by_role("button", name="Retry 1 task").click()
    expect(page.page.locator(".rt-timeline li").first).to_contain_text(f"Created as a retry of {task}")
    expect(state(page)).to_have_attribute(
        "data-state", "live", timeout=15_000
    )  # no socket cut while it opens


@pytest.mark.requirement("F1")
def test_the_dashboard_moves(staffed: Site, watch: Open) -> None:
    """A task of another process comes, moves and ends in it within a second; a failure asks for attention."""
    worker = staffed.remote()
    page = watch(LIVE)
    task = worker.run(CREATE, name="Report of March")
    worker.run("task.start()")
    mine, clock = page.page.locator(f"[id='running-{task}']"), Stopwatch()
    for percent in (25, 35, 45):
        worker.run("task.report(percent)", percent=percent)
        with clock.lap():
            expect(bar(mine)).to_have_js_property("value", percent, timeout=SOON)
    assert clock.usual < 1
    table = page.page.locator("#rt-table")
    table.locator("summary").click()
    worker.run("task.fail('No such file.')")
    expect(mine).to_have_count(0, timeout=SOON)
    expect(page.page.locator(f"[id='finished-{task}']")).to_contain_text("Failed", timeout=SOON)
    expect(page.page.locator(f"[id='attention-{task}']")).to_contain_text("No such file.", timeout=SOON)
    expect(table).to_have_attribute("open", "")
    expect(page.page.locator("#rt-nodes")).to_contain_text("Alive")


@pytest.mark.requirement("W10")
def test_a_disconnect_ends_the_client(visit: Open) -> None:
    """On another process, by the log alone: closed with 4403, its page says why and does not come back."""
    with Site(settings={"CONNECTIONS_INTERVAL": 0.1, "LOG_CHECK_INTERVAL": 0.2}, env={"DEBUG": "1"}) as site:
        site.create_user("noisy")
        site.create_user("chief", superuser=True)
        victim = enter(visit, site, "noisy", site.start("daphne"), "/")
        victim.wait_state("live")
        count = "from realtime.models import Connection\nConnection.objects.count()"
        eventually(lambda: site.remote().run(count) == 1)
        page = enter(visit, site, "chief", site.start("uvicorn"), LIVE)
        page.page.get_by_role("link", name="Disconnect noisy").click()
        expect(page.page.get_by_role("heading", name="Disconnect a client")).to_be_visible()
        page.page.get_by_role("button", name="Disconnect").click()
        expect(page.page.get_by_text("connection of noisy is being closed")).to_be_visible()
        victim.wait_state("denied")
        expect(victim.connection).to_contain_text("An administrator has closed this connection.")
        assert len(victim.sockets) == 1
        expect(state(page)).to_have_attribute(
            "data-state", "live", timeout=15_000
        )  # no socket cut while it opens
        victim.page.close()


def enter(visit: Open, site: Site, user: str, server: Server, path: str) -> Visit:
    """Visit a page of another site as one of its users."""
    page = visit(user=None, server=server, path="/accounts/login/")
    page.forgiven = "favicon|404"
    cookie = {"name": "sessionid", "value": site.session_key(user), "url": server.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.page.goto(f"{server.url}{path}")
    return page


@pytest.mark.requirement("T3")
def test_who_may_not_view_tasks_sees_nothing_live(staffed: Site, visit: Open) -> None:
    """No link, no page, no figures, no counts."""
    page = visit(user="clerk", path="/admin/")
    page.forgiven = "403|404|favicon"
    expect(page.page.get_by_role("link", name="Live dashboard")).to_have_count(0)
    for path in (LIVE, f"{LIVE}panels/", f"{LIST}counts/", f"{LIST}rows/", LIST):
        answer = page.context.request.get(f"{page.page.url.removesuffix('/admin/')}{path}")
        assert (answer.status, "rt-panels" in answer.text()) == (403, False)
