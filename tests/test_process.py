"""The one hub of a process: started by the first client, and no client's leaving ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime import database, log, process, publisher
from realtime.hub import Hub
from realtime.models import Task
from realtime.process import current_hub
from tests.kit.waiting import aeventually

#: The database plays no part here: one engine is enough.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    """A hub that lives finds a change at once."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 0.05}


async def is_alive(hub: Hub) -> bool:
    """Tell whether the hub still follows the log."""
    await database.run(lambda: Task.objects.create(name="import"))
    last = await database.run(log.position)
    await aeventually(lambda: hub.position == last, timeout=5)
    return True


async def end(hub: Hub) -> None:
    """Stop the hub, as the end of the process does."""
    await hub.stop()
    publisher.settle_on(None)


async def test_all_clients_share_one_hub(engine: str) -> None:
    """Of many that come at once the first starts it."""
    hubs = await asyncio.gather(*[current_hub() for _ in range(20)])
    assert len(set(hubs)) == 1
    assert await is_alive(hubs[0])
    await end(hubs[0])


@pytest.mark.requirement("F8")
async def test_a_client_that_leaves_as_the_hub_has_started_does_not_stop_it(engine: str) -> None:
    """Cancelled in the same iteration of the loop in which the start succeeds: the others keep their hub."""
    leaving, staying = asyncio.create_task(current_hub()), asyncio.create_task(current_hub())
    await aeventually(lambda: process._started is not None and not process._started.done(), interval=0)
    assert process._started is not None
    process._started.add_done_callback(lambda _: leaving.cancel())
    await asyncio.wait([leaving, staying])
    hub = staying.result()
    assert leaving.cancelled()
    assert await current_hub() is hub
    assert await is_alive(hub)
    await end(hub)


@pytest.mark.requirement("F8")
async def test_a_client_that_leaves_during_the_start_does_not_stop_it(engine: str) -> None:
    """The one that began it is nobody special."""
    leaving = asyncio.create_task(current_hub())
    await asyncio.sleep(0)
    staying = asyncio.create_task(current_hub())
    await asyncio.sleep(0)
    leaving.cancel()
    hub = await staying
    assert leaving.cancelled()
    assert await is_alive(hub)
    await end(hub)


async def test_a_start_that_failed_is_tried_again_by_the_next_client(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database hangs: who came meanwhile hears of it, who comes later gets a hub of its own."""
    monkeypatch.setattr(database, "DEADLINE", 0)
    outcomes = await asyncio.gather(current_hub(), current_hub(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError, TimeoutError]
    monkeypatch.undo()
    hub = await current_hub()
    assert await is_alive(hub)
    await end(hub)
