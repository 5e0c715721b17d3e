"""Property 47 of the WebSocket document: resources are cleaned up when connections close."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.testing.view import View
from tests.flows import Live, Person, told
from tests.hypothesis_loop import Loop, hundred
from tests.kit.waiting import aeventually

#: How a client leaves.
WAYS = st.sampled_from(["close", "cut"])
#: The clients of an example: each over a transport, with or without waiting for its first answer.
CLIENTS = st.lists(
    st.tuples(st.sampled_from(["socket", "stream"]), st.booleans(), WAYS), min_size=1, max_size=4
)


async def visit(live: Live, person: Person, how: str, waits: bool, way: str) -> None:
    """Come, perhaps subscribe, and leave."""
    client = await live.come(how, View(), person)
    if waits:
        await told(client, "subscribed")
    await (client.close() if way == "close" else client.cut())


@pytest.mark.requirement("47")
async def test_property_47_connection_cleanup(live: Live) -> None:
    """However they leave, in whatever state: clients, keys, tasks and places are those of before."""
    person, loop, ran = await live.person(), Loop(), 0
    await live.census()
    baseline = await live.census()

    async def is_back() -> bool:
        now = await live.census()
        return all(now[name] <= baseline[name] for name in ("clients", "keys", "tasks", "places", "counted"))

    async def come_and_go(clients: list[tuple[str, bool, str]]) -> None:
        await asyncio.gather(*(visit(live, person, *client) for client in clients))
        await aeventually(is_back)

    @hundred
    @given(CLIENTS)
    def holds(clients: list[tuple[str, bool, str]]) -> None:
        nonlocal ran
        loop.run(come_and_go(clients))
        ran += 1

    await loop.examples(holds)
    assert ran >= 100
