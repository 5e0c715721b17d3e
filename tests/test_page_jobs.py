"""The user page as people use it: jobs are started, cancelled, tried again; also without JavaScript."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.kit.process import Child
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.pages import Visit

#: A job of the worker takes so many seconds, and a test waits for one so many milliseconds.
SECONDS, PATIENCE = 2, 60_000
CLEAR = "Task.objects.filter(owner__username=name).delete(); None"
BUSY = """
owner = User.objects.get(username=name)
for number in range(8): Task.objects.create(name=f'Waits {number}', owner=owner)
"""
#: Keep what each task went through: its states, and the values of its bar.
RECORD = """
const seen = (window.seen = { states: [], values: [] });
new MutationObserver(() => {
  const task = document.querySelector("task-list task-progress");
  const value = task?.querySelector("[role=progressbar]")?.getAttribute("aria-valuenow");
  if (task && seen.states.at(-1) !== task.dataset.state) seen.states.push(task.dataset.state);
  if (value) seen.values.push([task.dataset.state, Number(value)]);
}).observe(document.querySelector("task-list"), { subtree: true, childList: true, attributes: true });
"""
AXE: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def worker(page_site: Site) -> Iterator[None]:
    """The demonstration's worker, which does what people ask for."""
    command = ["manage.py", "demo_worker", "--no-round", "--seconds", str(SECONDS)]
    log = page_site.folder / "demo-worker.log"
    with Child([sys.executable, *command], log, page_site.env, warm=True) as child:
        yield
        assert child.stop() == 0, child.log()


@pytest.fixture
def mine(page_site: Site, visit: Open) -> Visit:
    """The page of a user without tasks, live, whose newest task is recorded."""
    page_site.remote().run(CLEAR, name="asker")
    page = visit(user="asker")
    page.wait_state("live")
    expect(page.page.locator(".rt-empty")).to_contain_text("Start a job")
    page.page.evaluate(RECORD)
    return page


def newest(page: Page) -> Locator:
    """The task on top."""
    return page.locator("task-list task-progress").first


def start(page: Page, name: str) -> Locator:
    """Press a job's button; return the element of its task."""
    page.get_by_role("button", name=name).click()
    expect(newest(page).locator(".rt-name")).to_have_text(name)
    return newest(page)


def wait_for(task: Locator, state: str, word: str) -> None:
    """Wait until a task is in that state, and says so."""
    expect(task).to_have_attribute("data-state", state, timeout=PATIENCE)
    expect(task.locator(".rt-state")).to_have_text(word)


def test_a_job_is_started_and_its_result_appears(worker: None, mine: Visit) -> None:
    """No new page; waiting, running, completed; the bar never goes back and is full at the end only."""
    url = mine.page.url
    task = start(mine.page, "Archive of the standard library")
    wait_for(task, "done", "Completed")
    expect(task.locator(".rt-result dt")).to_have_text(["files", "bytes", "zip bytes"])
    expect(task.locator(".rt-facts")).to_contain_text("took")
    expect(task.get_by_role("button")).to_have_count(0)
    expect(mine.page.locator(".rt-empty")).to_be_hidden()
    seen = mine.page.evaluate("window.seen")
    assert seen["states"] == ["waiting", "running", "done"]
    values = [value for _, value in seen["values"]]
    assert values == sorted(values)
    assert len(set(values)) > 3
    assert {state for state, value in seen["values"] if value == 100} == {"done"}
    assert mine.requests.count(url) == 1


def test_nobody_knows_how_long_it_takes_and_the_result_is_a_table(worker: None, mine: Visit) -> None:
    """The bar moves without a value and counts; then the table has its heading."""
    task = start(mine.page, "Lines of the standard library")
    wait_for(task, "running", "Running")
    expect(task.locator(".rt-text")).to_contain_text("so far", timeout=PATIENCE)
    expect(task).to_have_attribute("data-indeterminate", "")
    wait_for(task, "done", "Completed")
    expect(task.get_by_role("columnheader")).to_have_text(["package", "files", "lines"])
    expect(task.locator("tbody tr")).to_have_count(5)


@pytest.mark.requirement("T10")
def test_a_running_job_is_cancelled_and_tried_again(worker: None, mine: Visit) -> None:
    """Asked, it says so until its worker has stopped; the retry is a task of its own, on top."""
    task = start(mine.page, "Import of the inventory")
    wait_for(task, "running", "Running")
    task.get_by_role("button", name="Cancel").press("Enter")
    wait_for(task, "cancelled", "Cancelled")
    assert mine.page.evaluate("window.seen.states")[-3:] == ["running", "cancelling", "cancelled"]
    expect(mine.page.locator(".rt-announcer")).to_contain_text("Import of the inventory: Cancelled.")
    expect(task).to_be_focused()
    task.get_by_role("button", name="Retry").click()
    expect(mine.page.locator("task-list task-progress")).to_have_count(2)
    wait_for(newest(mine.page), "done", "Completed")
    expect(mine.page.get_by_role("button", name="Retried: Import")).to_have_text("Retried")


def test_a_failure_says_where_it_failed(worker: None, mine: Visit) -> None:
    """In words that are safe to show, with the way to try again."""
    task = start(mine.page, "Import of an inventory with a mistake")
    wait_for(task, "failed", "Failed")
    expect(task.locator(".rt-message")).to_contain_text("column “size”")
    expect(task.get_by_role("button", name="Retry")).to_be_visible()


def test_nobody_starts_thousands(page_site: Site, mine: Visit) -> None:
    """Eight wait or run at a time; the ninth is refused in words, and nothing is made."""
    page_site.remote().run(BUSY, name="asker")
    mine.forgiven = "429"  # the browser reports it
    expect(mine.page.locator("task-list li")).to_have_count(8)
    mine.page.get_by_role("button", name="Archive of").click()
    expect(mine.page.get_by_role("alert").first).to_contain_text("8 of your tasks wait or run")
    assert page_site.remote().run("Task.objects.filter(owner__username='asker').count()") == 8
    mine.page.get_by_role("button", name="Cancel: Waits 7").click()
    wait_for(newest(mine.page), "cancelled", "Cancelled")


def test_a_refusal_is_told_where_the_button_is(page_site: Site, mine: Visit) -> None:
    """The site is away: the task says so, and the button can be pressed again."""
    page_site.remote().run(BUSY, name="asker")
    mine.forgiven = "Failed to load|ERR_"
    mine.page.route("**/cancel/", lambda route: route.abort())
    expect(mine.page.locator("task-list li")).to_have_count(8)
    button = newest(mine.page).get_by_role("button")
    button.click()
    expect(newest(mine.page).get_by_role("alert")).to_have_text("The site cannot be reached.")
    mine.page.unroute("**/cancel/")
    button.click()
    wait_for(newest(mine.page), "cancelled", "Cancelled")


@pytest.mark.requirement("K18")
def test_two_tabs_of_the_page_share_one_connection(page_site: Site, mine: Visit) -> None:
    """The second opens none of its own, and shows the same."""
    tab = mine.context.new_page()
    sockets: list[str] = []
    tab.on("websocket", lambda socket: sockets.append(socket.url))
    tab.goto(mine.page.url)
    expect(tab.locator("#connection")).to_have_attribute("data-state", "live", timeout=15_000)
    page_site.remote().run(
        "Task.objects.create(name='For both', owner=User.objects.get(username='asker')); None"
    )
    for page in (mine.page, tab):
        expect(newest(page).locator(".rt-name")).to_have_text("For both")
    assert len(mine.sockets) + len(sockets) == 1


def test_without_javascript_the_page_shows_what_is_and_its_forms_work(
    page_site: Site, page_server: Server, browser: Browser, session_of: Callable[[str], str]
) -> None:
    """States in words, results, buttons that are forms; a load shows what has changed."""
    page_site.remote().run(CLEAR, name="plain")
    context = browser.new_context(java_script_enabled=False)
    cookie: Any = {"name": "sessionid", "value": page_site.session_key("plain"), "url": page_server.url}
    context.add_cookies([cookie])
    page = context.new_page()
    page.goto(page_server.url)
    expect(page.get_by_text("Nothing has been started")).to_be_visible()
    make = "task = Task.objects.create(name='By hand', owner=User.objects.get(username='plain'))"
    page_site.remote().run(f"{make}; task.start(); task.report(done=30, total=120); task.write_report()")
    page.goto(page_server.url)
    wait_for(newest(page), "running", "Running")
    expect(newest(page).get_by_role("progressbar")).to_have_attribute("value", "25")
    expect(newest(page).locator(".rt-text")).to_have_text("30 of 120 · 25 %")
    newest(page).get_by_role("button", name="Cancel").click()
    wait_for(newest(page), "cancelling", "Cancelling…")
    page_site.remote().run("task.refresh_from_db(); task.cancel()")
    page.goto(page_server.url)
    newest(page).get_by_role("button", name="Retry").click()
    expect(page.locator("task-progress")).to_have_count(2)
    wait_for(newest(page), "waiting", "Waiting")
    page_site.remote().run(BUSY, name="plain")
    page.get_by_role("button", name="Archive of the standard library").click()
    expect(page.get_by_role("alert")).to_contain_text("8 of your tasks wait or run")
    context.close()


def test_axe_finds_nothing_on_the_page_and_the_log_in(page_site: Site, mine: Visit) -> None:
    """Of no weight at all, in light and dark, wide and narrow, with a task in each state and a notice."""
    states = "pending running completed failed cancelled"
    code = "[Task.objects.create(name=s, status=s, owner=User.objects.get(username='asker'), error=e,"
    code += " result={'a': 1} if s == 'completed' else None) for s in states.split()]; None"
    page_site.remote().run(code, states=states, e="No such file.")
    sent = page_site.manage("broadcast", "At ten.", "--level", "critical").partition(":")[0]
    expect(mine.page.locator("task-list li")).to_have_count(5)
    mine.forgiven = "inline style|preload assets|favicon"  # axe's own
    found = {}
    for path in ("/", "/accounts/login/"):
        if path != "/":
            mine.context.clear_cookies()
        for width, scheme in ((1280, "light"), (390, "dark")):
            mine.page.set_viewport_size({"width": width, "height": 900})
            mine.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            mine.page.goto(f"{mine.page.url.split('/accounts')[0].rstrip('/')}{path}")
            if path == "/":
                mine.wait_state("live")
            for one in Axe().run(mine.page, options=AXE).response["violations"]:
                found[f"{one['id']} {path} {scheme}"] = [node["target"] for node in one["nodes"]]
    page_site.manage("broadcast", "--retract", sent)
    assert found == {}
