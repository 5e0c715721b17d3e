"""Where something on the way breaks the best transport, the client takes the next, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import scripted
from tests.kit.middlebox import Middlebox
from tests.kit.servers import Server
from tests.kit.site import Site
from tests.pages import Visit
from tests.scripted import CREATE, SAVES

#: What the browser itself says of a line that is refused or cut.
NOISE = r"WebSocket connection to|Failed to load resource"
#: An answer of a site that is asked too often.
BUSY: dict[str, Any] = {
    "status": 429,
    "headers": {"Retry-After": "1"},
    "json": {"code": "throttled", "message": "Wait."},
}


def broken(visit: Callable[..., Visit], box: Any, **credential: Any) -> Visit:
    """A page behind the box, with a client started on it."""
    page = visit(user=None if "token" in credential else "demo", server=box, path=scripted.BLANK)
    page.forgiven = NOISE
    scripted.start(page.page, **credential)
    return page


@pytest.mark.parametrize("with_token", [False, True], ids=["cookie", "ticket"])
def test_a_proxy_that_blocks_the_upgrade_gets_an_event_stream(
    page_site: Site, page_server: Server, visit: Callable[..., Visit], with_token: bool
) -> None:
    """With the cookie, or with a ticket for each stream; when sockets get through again, a socket."""
    credential = {"token": page_site.token("demo")} if with_token else {}
    with Middlebox(page_server, blocks_upgrades=True) as box:
        page = broken(visit, box, **credential)
        scripted.wait_live(page.page, "sse")
        worker = page_site.remote()
        task = worker.run(CREATE, name="Streamed")
        scripted.wait_version(page.page, task, 1)
        box.cut()
        version = worker.run(SAVES, saves=20)
        scripted.wait_version(page.page, task, version)
        scripted.wait_live(page.page, "sse")
        box.blocks_upgrades = False
        scripted.wait_live(page.page)
        version = worker.run(SAVES, saves=20)
        scripted.wait_version(page.page, task, version)
        assert scripted.versions(page.page, task) == list(range(1, version + 1))
        assert not any("token=" in address for address in page.requests)


def test_a_proxy_that_holds_streams_back_too_is_polled_through(
    page_site: Site, page_server: Server, visit: Callable[..., Visit]
) -> None:
    """Nothing of the stream comes in time: the client asks again and again, each change comes once.

    Told to wait, it waits as long as it was told to.
    """
    with Middlebox(page_server, blocks_upgrades=True, holds_streams=True) as box:
        page = broken(visit, box)
        scripted.wait_live(page.page, "polling")
        worker = page_site.remote()
        task = worker.run(CREATE, name="Polled")
        version = worker.run(SAVES, saves=20)
        scripted.wait_version(page.page, task, version)
        page.page.route("**/api/events/**", lambda route: route.fulfill(**BUSY), times=1)
        page.page.wait_for_function("() => states.some((one) => one.code === 'throttled')", timeout=30_000)
        waited = "states.filter((one) => one.code === 'throttled').map((one) => [one.reason, one.retryIn])"
        assert page.page.evaluate(waited) == [["Wait.", 1000]]
        scripted.wait_live(page.page, "polling")
        box.blocks_upgrades = False
        scripted.wait_live(page.page)
        version = worker.run(SAVES, saves=20)
        scripted.wait_version(page.page, task, version)
        assert scripted.versions(page.page, task) == list(range(1, version + 1))


def test_a_site_that_is_away_is_no_reason_for_another_transport(
    page_server: Server, visit: Callable[..., Visit]
) -> None:
    """Nobody gets through: the client waits for the site, and is back on its socket."""
    with Middlebox(page_server) as box:
        page = broken(visit, box)
        scripted.wait_live(page.page)
        box.open = False
        box.cut()
        tries = "states.filter(({ retryIn }) => retryIn !== null).length"
        waiting = f"() => client.state === 'reconnecting' && {tries} > 4"
        page.page.wait_for_function(waiting, timeout=30_000)
        box.open = True
        scripted.wait_live(page.page)
        assert {said["transport"] for said in page.page.evaluate("states")} == {None, "websocket"}


def test_who_is_offline_says_so_and_comes_back_at_once(
    page_server: Server, visit: Callable[..., Visit]
) -> None:
    """The browser knows that there is no network; and when there is, the client does not wait."""
    with Middlebox(page_server) as box:
        page = broken(visit, box, timing={"backOff": 60_000, "backOffLimit": 60_000})
        scripted.wait_live(page.page)
        page.context.set_offline(True)
        box.cut()
        page.page.wait_for_function("() => client.state === 'offline'", timeout=15_000)
        page.context.set_offline(False)
        scripted.wait_live(page.page)


def test_paused_it_holds_still_and_goes_on_from_there(
    page_site: Site, page_server: Server, visit: Callable[..., Visit]
) -> None:
    """No connection meanwhile, no change; then everything that was missed, each once."""
    page = visit(path=scripted.BLANK)
    page.forgiven = scripted.NO_ICON
    scripted.start(page.page, shared=False)
    scripted.wait_live(page.page)
    worker = page_site.remote()
    task = worker.run(CREATE, name="Paused")
    scripted.wait_version(page.page, task, 1)
    page.page.evaluate("client.pause()")
    assert page.page.evaluate("client.state") == "paused"
    version = worker.run(SAVES, saves=5)
    page.page.evaluate("client.resume()")
    scripted.wait_version(page.page, task, version)
    assert scripted.versions(page.page, task) == list(range(1, version + 1))
    assert page.wait_frame("connected")
    assert [f["recovered"] for f in page.frames if f["type"] == "subscribed" and "recovered" in f] == [True]
