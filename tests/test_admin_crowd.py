"""The live admin with more tasks than a page holds, and with a connection that comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.admin_pages import LIST, LIVE, SOON, row, state, wait_told
from tests.kit.middlebox import Middlebox
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.pages import Visit

Open = Callable[..., Visit]

BEGIN = """
from datetime import timedelta
from django.db import models
from realtime.models import TaskLog
def clear():
    for model in (TaskLog, Task):
        models.QuerySet(model)._raw_delete('default')  # without an event for each of thousands
clear()
owner = User.objects.get(username='demo')
def make(count, status, **fields):
    tasks = [Task(name=f'{status} {n}', owner=owner, status=status, **fields) for n in range(count)]
    return [str(task.pk) for task in Task.objects.bulk_create(tasks)]
def begin(name):
    task = Task.objects.create(name=name, owner=owner)
    task.start()
    return task
def make_old(task, **times):
    now = timezone.now()
    models.QuerySet(Task).filter(pk=task.pk).update(**{name: now - timedelta(hours=3) for name in times})
from django.utils import timezone
None
"""
SHOW = """hidden => {
  Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""
#: An answer is waited for half a second only.
IMPATIENT = (
    "() => { const { timeout } = AbortSignal; AbortSignal.timeout = () => timeout.call(AbortSignal, 500); }"
)
#: Keeps whatever was shown of an element, or written into it.
RECORD = """([selector, what]) => {
  const element = document.querySelector(selector);
  window[what] = [];
  const look = () => element.hidden || element.textContent === '' || window[what].push(element.textContent);
  const all = { attributes: true, childList: true, characterData: true, subtree: true };
  new MutationObserver(look).observe(element, all);
}"""
NO_STORAGE = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })"


@pytest.fixture
def worker(staffed: Site) -> Iterator[Remote]:
    """Another process, on a site without a task."""
    remote = staffed.remote()
    remote.run(BEGIN)
    yield remote
    remote.run("clear()")


def watch(visit: Open, path: str, **options: Server | Middlebox) -> Visit:
    """Open a page of the admin, and wait until it is live."""
    page = visit(user="watcher", path=path, **options)
    page.forgiven = "favicon|404|WebSocket connection to"
    expect(state(page)).to_have_attribute("data-state", "live", timeout=SOON)
    return page


def test_what_the_list_no_longer_holds_is_not_gone(worker: Remote, visit: Open) -> None:
    """Hundreds of newer tasks, seen and unseen: only a deleted one is struck out; the new ones are counted.

    In any number of tabs. The counts are read again after an answer that never came.
    """
    ids = worker.run("make(10, 'completed')")
    page = watch(visit, f"{LIST}?status__exact=completed")
    gone, news = page.page.locator("#result_list [data-gone]"), page.page.locator(".rt-news")
    page.page.evaluate(IMPATIENT)
    hanging: list[object] = []
    page.page.route("**/counts/", lambda route: hanging.append(route), times=1)
    fresh = worker.run("make(3, 'completed')")
    expect(news).to_have_text("3 new tasks — show", timeout=SOON)
    wait_told(page, worker.run("make(600, 'pending')[-1]"), "pending")
    url, tabs = page.page.url.partition("?")[0], [page.context.new_page() for _ in range(3)]
    for number, tab in enumerate(tabs, 10):
        tab.goto(f"{url}?p={number}")
        expect(tab.locator(".rt-state")).to_have_text("Live", timeout=SOON)
    oldest = [tab.locator("[data-status=pending][data-task]").last for tab in tabs]
    moved, deleted, _ = [badge.get_attribute("data-task") for badge in oldest]
    for one in (page.page, *tabs):
        one.evaluate(SHOW, True)
    pks = [moved, deleted]
    worker.run("Task.objects.get(pk=pks[0]).start(); Task.objects.get(pk=pks[1]).delete(); None", pks=pks)
    wait_told(page, worker.run("make(1_100, 'pending')[-1]"), "pending")
    for one in (page.page, *tabs):
        one.evaluate(SHOW, False)
    expect(tabs[0].locator(f"[data-task='{moved}']")).to_have_text("Running", timeout=SOON)
    expect(tabs[1].locator("[data-gone]")).to_have_count(1, timeout=SOON)
    expect(tabs[2].locator("[data-gone]")).to_have_count(0)
    expect(page.page.locator("[data-count=pending]")).to_have_text("1,698", timeout=SOON)
    assert len(hanging) == 1
    assert page.context.request.get(f"{url}rows/?id=1").status == 400
    expect(news).to_have_text("3 new tasks — show")
    assert (gone.count(), page.page.locator("input.action-select:disabled").count()) == (0, 0)
    worker.run("Task.objects.filter(pk__in=pks).delete(); None", pks=[ids[0], fresh[0]])
    expect(gone).to_have_count(1, timeout=SOON)
    expect(row(page, ids[0]).locator("input.action-select")).to_be_disabled()
    expect(news).to_have_text("2 new tasks — show")


def test_the_dashboard_shows_what_runs_however_much_has_come_since(worker: Remote, visit: Open) -> None:
    """The newest of more than it shows, and that it does; never that nothing runs; a job that ends stays."""
    worker.run(
        "old = begin('Training'); make_old(old, created_at=1, started_at=1); make(130, 'completed'); None"
    )
    page = watch(visit, LIVE)
    rows, some = page.page.locator("#rt-running tbody tr"), page.page.locator("#rt-running .rt-some")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Training")
    page.page.evaluate(RECORD, ["#rt-running .rt-empty", "empty"])
    worker.run("new = [begin(f'job {n}') for n in range(24)]; None")
    expect(some).to_contain_text("The newest 20 of 25 are shown.", timeout=SOON)
    expect(rows).to_have_count(20)
    page.page.reload()
    expect(some).to_contain_text("The newest 20 of 25 are shown.", timeout=SOON)
    expect(state(page)).to_have_attribute("data-state", "live", timeout=SOON)
    page.page.evaluate(RECORD, ["#rt-running .rt-empty", "empty"])
    worker.run("[task.complete() for task in new[4:]]; None")
    expect(rows).to_have_count(5, timeout=SOON)
    expect(rows.last).to_contain_text("Training")
    expect(some).to_be_hidden()
    worker.run("old.refresh_from_db(); old.complete(); None")
    ended = page.page.locator("#rt-finished tbody tr")
    expect(ended.first).to_contain_text("Training", timeout=SOON)
    expect(page.page.locator("#rt-finished .rt-some")).to_contain_text("The last 20 are shown.")
    wait_told(page, worker.run("make(600, 'pending')[-1]"), "pending")
    expect(page.page.locator(".rt-counts")).to_contain_text("600", timeout=SOON)  # it has been read again
    expect(ended.first).to_contain_text("Training")
    expect(ended).to_have_count(20)
    assert page.page.evaluate("empty") == []


def test_the_switch_is_one_for_all_tabs_and_a_loss_is_said_each_time(
    worker: Remote, visit: Open, page_server: Server
) -> None:
    """Also where nothing can be stored. What is said twice is read out twice; a first load is no return."""
    with Middlebox(page_server) as box:
        first = watch(visit, LIST, server=box)
        first.forgiven += "|ERR_"  # what was being read when it was cut
        assert first.page.evaluate("document.querySelector('.rt-said').textContent") == ""
        first.page.evaluate(RECORD, [".rt-said", "said"])
        for times in (1, 2):
            box.cut()
            first.page.wait_for_function(
                "times => said.join(' ').split('Live again.').length === times + 1", arg=times, timeout=60_000
            )
        lost = "The connection is lost; trying again. Live again."
        assert " ".join(first.page.evaluate("said")) == f"{lost} {lost}"
        second = first.context.new_page()
        second.goto(first.page.url)
        expect(second.locator(".rt-state")).to_have_text("Live", timeout=SOON)
        switched(first.page, "Off", second)
        switched(second, "Live", first.page)
        second.add_init_script(NO_STORAGE)
        second.reload()
        for words in ("Off", "Live"):
            switched(second, words)
        first.page.close()


def switched(page: Page, words: str, *others: Page) -> None:
    """Press the switch, and wait until all say so."""
    page.get_by_role("button", name="Live updates").click()
    for one in (page, *others):
        expect(one.locator(".rt-state")).to_have_text(words, timeout=SOON)
        pressed = str(words == "Live").lower()
        expect(one.get_by_role("button", name="Live updates")).to_have_attribute("aria-pressed", pressed)
