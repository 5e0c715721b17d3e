"""A project's own topics in the browser: each event once in every tab, over whatever gets through."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.kit.middlebox import Middlebox
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.scripted import QUICK

START = """
async ({ topic, timing }) => {
  const { RealtimeClient } = await import("/static/realtime/client.js");
  window.heard = [];
  window.client = new RealtimeClient({ topics: [], timing });
  client.addEventListener("topic", ({ detail: { event, data } }) => heard.push([event, data.status ?? null]));
  client.addEventListener("topic-end", ({ detail }) => heard.push(["end", detail.topic]));
  client.subscribe({ topic });
  client.start();
}
"""
SAVE = "for status in statuses:\n    Order.objects.filter(pk=pk).update(status=status)"


@pytest.fixture(scope="module")
def shop() -> Iterator[Site]:
    """A site with orders."""
    env = {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "tests.flow_settings"}
    with Site(settings={"LOG_CHECK_INTERVAL": 0.1}, env=env) as site:
        yield site


@pytest.fixture(scope="module")
def shop_server(shop: Site) -> Server:
    """Its one server."""
    return shop.start("daphne")


@pytest.fixture
def customer(shop: Site, browser: Browser, shop_server: Server) -> Iterator[tuple[BrowserContext, int]]:
    """A browser in which a customer has logged in, and the key of his order."""
    name = f"customer-{uuid.uuid4().hex[:8]}"
    user_id = shop.create_user(name)
    pk = int(shop.remote().run("Order.objects.create(customer_id=user).pk", user=user_id))
    context = browser.new_context()
    context.add_cookies([{"name": "sessionid", "value": shop.session_key(name), "url": shop_server.url}])
    yield context, pk
    context.close()


def follow(context: BrowserContext, url: str, topic: str) -> Page:
    """Open a page on which nothing is connected yet, and follow a topic."""
    page = context.new_page()
    page.goto(f"{url}/accounts/login/?next=/nowhere")
    page.evaluate(START, {"topic": topic, "timing": QUICK | {"better": 600_000}})
    return page


def wait_heard(page: Page, *last: Any) -> list[list[Any]]:
    """Wait until this is the last that the page has heard; return all of it."""
    page.wait_for_function(
        "last => JSON.stringify(heard.at(-1)) === last", arg=_compact(list(last)), timeout=30_000
    )
    heard: list[list[Any]] = page.evaluate("heard")
    return heard


def _compact(value: list[Any]) -> str:
    return "[" + ",".join("null" if v is None else f'"{v}"' for v in value) + "]"


@pytest.mark.parametrize("way", ["websocket", "sse", "polling"])
def test_an_order_is_followed_and_taken_away(
    shop: Site, shop_server: Server, customer: tuple[BrowserContext, int], way: str
) -> None:
    """How it is, each change once, also across a cut; and the end, when it is somebody else's."""
    context, pk = customer
    worker = shop.remote()
    with ExitStack() as closing:
        box = Middlebox(shop_server, blocks_upgrades=way != "websocket", holds_streams=way == "polling")
        closing.enter_context(box)
        page = follow(context, box.url, f"order.{pk}")
        wait_heard(page, "snapshot", "new")
        worker.run(SAVE, pk=pk, statuses=["paid", "packed"])
        wait_heard(page, "changed", "packed")
        box.cut()
        worker.run(SAVE, pk=pk, statuses=["sent", "there"])
        wait_heard(page, "changed", "there")
        other = shop.create_user(f"other-{way}")
        worker.run("Order.objects.filter(pk=pk).update(customer_id=other)", pk=pk, other=other)
        heard = wait_heard(page, "end", f"order.{pk}")
    changes = ["paid", "packed", "sent", "there"]
    assert heard == [["snapshot", "new"], *[["changed", c] for c in changes], ["end", f"order.{pk}"]]


def test_tabs_share_one_connection(
    shop: Site, shop_server: Server, customer: tuple[BrowserContext, int]
) -> None:
    """The second tab is told how things are, and both of each change once."""
    context, pk = customer
    sockets: list[str] = []
    context.on("page", lambda page: page.on("websocket", lambda socket: sockets.append(socket.url)))
    first = follow(context, shop_server.url, f"order.{pk}")
    wait_heard(first, "snapshot", "new")
    second = follow(context, shop_server.url, f"order.{pk}")
    wait_heard(second, "snapshot", "new")
    stranger = follow(context, shop_server.url, f"order.{pk + 1000}")
    wait_heard(stranger, "end", f"order.{pk + 1000}")
    shop.remote().run(SAVE, pk=pk, statuses=["paid", "packed"])
    for page in (first, second):
        heard = [one for one in wait_heard(page, "changed", "packed") if one[0] != "snapshot"]
        assert heard == [["changed", "paid"], ["changed", "packed"]]
    assert stranger.evaluate("heard") == [["end", f"order.{pk + 1000}"]]
    assert len(sockets) == 1
