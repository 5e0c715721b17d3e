"""Clients that a test starts on a page of the site, and what they have seen."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

#: A page of the site without a script of its own.
BLANK = "/healthz"
#: What the browser says of it: it names no icon, and the site has none where browsers look for one.
NO_ICON = r"404 \(Not Found\)"
#: A second or two where a site has half a minute.
QUICK = {"backOff": 200, "connect": 2_000, "check": 2_000, "poll": 200, "better": 500}
CREATE = "task = Task.objects.create(name=name, owner=User.objects.get(username='demo')); str(task.pk)"
SAVES = """
for number in range(saves):
    task.done = number
    task.save()
task.version
"""
_START = """
async ([options, renewed]) => {
  const { RealtimeClient } = await import("/static/realtime/client.js");
  if (renewed) options.renew = async () => renewed;
  const client = new RealtimeClient(options);
  Object.assign(window, { client, states: [], versions: {}, lines: [] });
  client.addEventListener("state", ({ detail }) => window.states.push(detail));
  client.addEventListener("log", ({ detail }) => window.lines.push(detail.line.text));
  client.addEventListener("change", ({ detail: id }) => {
    (window.versions[id] ??= []).push(client.tasks.get(id)?.version ?? null);
  });
  client.start();
}
"""


def start(
    page: Page, renewed: str | None = None, timing: dict[str, int] | None = None, **options: Any
) -> None:
    """Start a client with these options; `renewed` is the token that it gets when it asks."""
    page.evaluate(_START, [{**options, "timing": QUICK | (timing or {})}, renewed])


def wait_live(page: Page, transport: str = "websocket") -> None:
    """Wait until the client is live over that transport."""
    live = "transport => client.line.state === 'live' && client.line.transport === transport"
    page.wait_for_function(live, arg=transport, timeout=30_000)


def wait_version(page: Page, task: str, version: int) -> None:
    """Wait until the client holds that version of a task."""
    held = "([id, version]) => client.tasks.get(id)?.version === version"
    page.wait_for_function(held, arg=[task, version], timeout=30_000)


def versions(page: Page, task: str) -> list[int | None]:
    """The versions of a task as the client told of them, one after the other."""
    seen: list[int | None] = page.evaluate("id => window.versions[id] ?? []", task)
    return seen
