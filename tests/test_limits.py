"""Limits of connections and of messages: who is over them is told so, and everybody else goes on."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.limits import PATIENCE, Bucket, group_of
from tests.doors import from_new_address
from tests.ending import ending
from tests.flows import Client, Live, Person, told
from tests.kit.sockets import SocketClient
from tests.kit.waiting import aeventually
from tests.profiles import BURST, PER_ADDRESS

pytestmark = pytest.mark.requirement("F6")


async def refused(live: Live, person: Person | None, code: str, headers: dict[str, str]) -> None:
    """A socket and a stream are both refused: 4429 with `error`, and 429 with Retry-After."""
    token = person.token if person else None
    async with await SocketClient.connect(live.server, token, headers=headers) as late:
        await late.wait_closed()
    assert [frame["type"] for frame in late.frames] == ["error"]
    assert (late.frames[0]["code"], late.close_code) == (code, 4429)
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await live.http("GET", "/events", headers=headers | bearer)
    assert (answer.status_code, answer.json()["code"]) == (429, code)
    assert int(answer.headers["retry-after"]) > 0


async def come(live: Live, how: str, person: Person, headers: dict[str, str]) -> Client:
    """Connect, over whichever transport, and wait until the server says so."""
    if how == "socket":
        return await live.socket(person, headers=headers)
    stream = await live.stream(person, headers=headers)
    assert stream.status == 200, stream.status
    await told(stream, "connected")
    return stream


async def test_a_user_has_so_many_connections_over_both_transports(narrow: Live) -> None:
    """Sockets and streams count together; one that ends makes room for the next."""
    person, other, headers = await narrow.person(), await narrow.person(), from_new_address()
    here = [await come(narrow, how, person, headers) for how in ("socket", "stream", "socket")]
    await refused(narrow, person, "too_many_connections", headers)
    async with await narrow.socket(other, headers=headers):
        pass
    for how, leaving in itertools.product(("stream", "socket"), ("cut", "close")):
        await getattr(here.pop(0), leaving)()

        async def again(how: str = how) -> bool:
            async with asyncio.timeout(5):
                client = await live_client(narrow, how, person, headers)
            if client is not None:
                here.append(client)
            return client is not None

        await aeventually(again)
    for client in here:
        await client.cut()


async def live_client(live: Live, how: str, person: Person, headers: dict[str, str]) -> Client | None:
    """Connect; None when there is no room yet."""
    client: Client
    if how == "stream":
        client = await live.stream(person, headers=headers)
        if client.status == 200:
            await told(client, "connected")
            return client
    else:
        client = await SocketClient.connect(live.server, person.token, headers=headers)
        if (await client.wait())["type"] == "connected":
            return client
    await client.cut()
    return None


async def test_an_address_has_so_many_connections_and_needs_no_credential_to_hear_it(narrow: Live) -> None:
    """The check comes before authentication, which costs a query; other addresses are not concerned."""
    people = [await narrow.person() for _ in range(PER_ADDRESS)]
    headers = from_new_address()
    here = [
        await come(narrow, how, person, headers)
        for how, person in zip(itertools.cycle(["socket", "stream"]), people, strict=False)
    ]
    await refused(narrow, None, "too_many_connections", headers)
    async with await narrow.socket(people[0], headers=from_new_address()):
        pass
    for client in here:
        await client.cut()


async def test_a_process_has_so_many_connections(live: Live) -> None:
    """Whoever comes next is refused, whoever he is; those that are here stay."""
    person = await live.person()
    async with (
        ending(live, MAX_CONNECTIONS=2) as small,
        await small.socket(person) as one,
        await small.stream(person) as other,
    ):
        await refused(small, None, "too_many_connections", {})
        await one.ping()
        assert not other.closed


async def test_every_place_is_free_again(narrow: Live) -> None:
    """However a client leaves, at whatever moment: nothing of it is counted in the end."""
    person, dice = await narrow.person(), random.Random(7)

    async def come_and_go(how: str) -> None:
        headers = from_new_address()
        opening = SocketClient.connect if how == "socket" else narrow.stream
        who: Any = narrow.server if how == "socket" else person
        asked = {"token": person.token} if how == "socket" else {"topics": [dice.choice(["mine", "tasks"])]}
        try:
            async with asyncio.timeout(dice.choice([0.003, 0.01, 0.03, 0.1])):
                client = await opening(who, headers=headers, **asked)
        except TimeoutError:
            return
        await client.cut()

    await asyncio.gather(*(come_and_go(how) for how in ("socket", "stream") * 40))

    async def empty() -> bool:
        census = await narrow.census()
        return (census["places"], census["counted"], census["clients"]) == (0, 0, 0)

    await aeventually(empty)


async def test_a_message_beyond_the_rate_is_not_served_and_the_next_in_time_is(narrow: Live) -> None:
    """`error rate_limited` names the request; a moment later the client is served again."""
    async with await narrow.socket(await narrow.person(), headers=from_new_address()) as client:
        for number in range(BURST + 5):
            await client.send({"action": "ping", "t": number, "request_id": number})
        late = await client.wait("error", lambda frame: frame["request_id"] == BURST + 4)
        assert late["code"] == "rate_limited"
        served = {frame["request_id"] for frame in client.frames if frame["type"] == "pong"}
        spared = {frame["request_id"] for frame in client.frames if frame["type"] == "error"}
        assert served | spared == set(range(BURST + 5))
        assert not served & spared
        assert set(range(BURST)) <= served

        async def served_again() -> bool:
            await client.send({"action": "ping", "t": "again"})
            answer = await client.wait(predicate=lambda f: f["type"] in ("pong", "error"))
            return answer["type"] == "pong" and answer["t"] == "again"

        await aeventually(served_again, interval=0.25)


async def test_a_client_that_goes_on_and_on_is_closed(narrow: Live) -> None:
    """After some bursts beyond its rate: `too_many_messages` and 4429. Others are served meanwhile."""
    person = await narrow.person()
    headers = from_new_address()
    async with await narrow.socket(person, headers=headers) as client:
        for number in range(2 * BURST * (PATIENCE + 1)):
            await client.send({"action": "ping", "t": number})
        await client.wait_closed()
        assert (client.frames[-1]["code"], client.close_code) == ("too_many_messages", 4429)
        async with await narrow.socket(person, headers=headers) as other:
            await other.ping()


async def test_a_pong_beyond_the_rate_is_still_an_answer(narrow: Live) -> None:
    """It counts as a message, but is served: its client would be given up without it."""
    async with await narrow.socket(await narrow.person(), headers=from_new_address()) as client:
        await client.wait("ping")
        for _ in range(BURST + 5):
            await client.send({"action": "status", "request_id": "status"})
        await client.wait("error")

        async def measured() -> bool:
            beats = [frame for frame in client.frames if frame["type"] == "ping"]
            await client.send({"action": "pong", "t": beats[-1]["t"], "request_id": "pong"})
            await client.send({"action": "status", "request_id": "status"})
            return any(frame.get("rtt_last") is not None for frame in client.frames)

        await aeventually(measured, interval=0.3)
    errors = {(f["code"], f["request_id"]) for f in client.frames if f["type"] == "error"}
    assert errors == {("rate_limited", "status")}


@given(st.floats(0.1, 100), st.integers(1, 50), st.lists(st.floats(0, 5), max_size=200))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    rate: float, burst: int, pauses: list[float]
) -> None:
    """Over any time: at most the burst plus what the rate has added; and the first burst is free."""
    now = 0.0
    bucket = Bucket(rate, burst, lambda: now)
    assert all(bucket.take() for _ in range(burst))
    taken = 0
    for pause in pauses:
        now += pause
        taken += bucket.take()
        assert taken <= now * rate + 1e-6


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("unknown", "unknown", True),
    ],
)
def test_an_address_is_what_one_client_can_choose_from(one: str, other: str, same: bool) -> None:
    """With IPv6 a client has a whole network of addresses: it counts as one."""
    assert (group_of(one) == group_of(other)) is same
