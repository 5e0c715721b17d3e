"""Daphne as the project starts it waits for slow readers, and cuts off those that read nothing."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from tests.flows import Live, Sites
from tests.kit.line import Line
from tests.kit.waiting import aeventually

#: Far more than the kernel and the server hold for one client: 12 MB.
WRITE = """
for number in range(24):
    Task.objects.filter(owner_id=owner).update(message=f"{number} " + "x" * 50_000)
"""


@pytest.fixture
def strict(sites: Sites) -> Live:
    """A daphne that gives a client two seconds to take something; its pings would take much longer."""
    return sites.live("narrow", "daphne")


@pytest.mark.requirement("F3")
@pytest.mark.parametrize(
    ("kind", "buffer"), [("websocket", 4096), ("sse", 0)], ids=["small buffer", "usual buffer"]
)
async def test_a_client_that_reads_nothing_is_cut_off(strict: Live, kind: str, buffer: int) -> None:
    """Stock daphne would keep everything for it; here soon not even the kernel knows its line any more."""
    person = await strict.person()
    await strict.tasks(person, 10)
    with closing(await asyncio.to_thread(Line, strict.server, person.token, kind, buffer)) as line:
        assert line.in_kernel() is not None
        await strict.run(WRITE, owner=person.id)
        await aeventually(lambda: line.in_kernel() is None, timeout=30, interval=0.1)
