"""Every close code: what leads to it, the last frame before it, and what a client does then."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from realtime import exceptions
from realtime.exceptions import CLOSE_CODES, Problem, Retry
from tests.closings import CLOSINGS, Closing, stage
from tests.flows import Live
from tests.kit.sockets import SocketClient
from tests.scraping import scrape

pytestmark = pytest.mark.requirement("W10")

#: What a client does after each close.
THEN = {
    1000: Retry.NEVER,
    4400: Retry.NEVER,
    4401: Retry.NEW_CREDENTIALS,
    4403: Retry.NEVER,
    4410: Retry.WITH_CURSOR,
    4413: Retry.NEVER,
    4429: Retry.BACK_OFF,
    4500: Retry.BACK_OFF,
    4503: Retry.JITTERED,
}
_hosts = itertools.count(1)


async def play(closing: Closing, live: Live) -> SocketClient:
    """Do as the closing says, until the server has closed."""
    person = await live.person()
    # An address of its own, of which the server's trusted proxy tells.
    headers = {"X-Forwarded-For": f"198.18.0.{next(_hosts)}"}
    if closing.credential == "session":
        key = await asyncio.to_thread(live.site.session_key, person.name)
        headers |= {"Cookie": f"sessionid={key}", "Origin": "https://evil.example"}
    token = person.token if closing.credential == "token" else None
    client = await SocketClient.connect(live.server, token, headers=headers)
    if (await client.wait())["type"] == "connected":
        for text in closing.say:
            await client.send_raw(text)
        if closing.answers_once:
            beat = await client.wait("ping")
            await client.send({"action": "pong", "t": beat["t"]})
        if closing.hangs_up:
            await client.close()
        closing.after(live)
    await client.wait_closed()
    return client


async def counts(live: Live, closing: Closing) -> tuple[float, float]:
    """How often the server has closed so, and has said so, by its own account."""
    if closing.last["type"] != "error":
        return 0, 0
    found = await scrape(live)
    told = found.value("errors_total", code=closing.last["code"], transport="websocket")
    return found.value("websocket_closes_total", code=str(closing.code)), told


@pytest.mark.requirement("F5")
@pytest.mark.requirement("F6")
@pytest.mark.requirement("O2")
@pytest.mark.parametrize("closing", CLOSINGS.values(), ids=CLOSINGS)
async def test_a_close_says_why(narrow: Live, closing: Closing) -> None:
    """The code of the table, after a last frame with the reason: some servers drop that of the close.

    And it is counted, under both codes.
    """
    context = stage(closing, narrow)
    live = await asyncio.to_thread(context.__enter__)
    try:
        closes, told = await counts(live, closing)
        client = await play(closing, live)
        if closing.last["type"] == "error":
            assert await counts(live, closing) == (closes + 1, told + 1)
    finally:
        context.__exit__(None, None, None)
    assert client.close_code == closing.code
    assert closing.last.items() <= client.frames[-1].items()
    if closing.last["type"] == "error":
        assert client.frames[-1]["message"]


def test_every_code_of_the_table_is_produced() -> None:
    """A new code is not finished before a real server has sent it."""
    assert {closing.code for closing in CLOSINGS.values()} == set(CLOSE_CODES)


def problems() -> dict[str, Any]:
    """Every problem a client can meet, by its name in the code."""
    return {name: value for name, value in vars(exceptions).items() if isinstance(value, Problem)}


def test_the_last_frame_and_the_code_agree() -> None:
    """The code of the last `error` leads to the same close code in the table of errors."""
    closes = {problem.code: problem.close_code for problem in problems().values()}
    for closing in CLOSINGS.values():
        reason = closing.last.get("code", closing.last.get("reason"))
        if reason is not None:
            assert closes[reason] == closing.code


def test_every_close_has_one_rule_for_coming_back() -> None:
    """The rule is that of the code, whichever problem led to it; what closes nothing is not retried."""
    assert {code: rule for code, (_, rule) in CLOSE_CODES.items()} == THEN
    for problem in problems().values():
        assert problem.retry is (THEN[problem.close_code] if problem.close_code else Retry.NEVER)


def test_only_codes_that_every_server_can_send() -> None:
    """daphne sends 1000 and 3000 to 4999 only (RFC 6455 §7.4.2: of these 4000 to 4999 are private)."""
    assert all(code == 1000 or 4000 <= code <= 4999 for code in CLOSE_CODES)
