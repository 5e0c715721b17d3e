"""The guarded daphne: its own protocol is in use, and a client that answers late survives."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from websockets.frames import CloseCode

from tests.flows import Live
from tests.kit.process import ROOT
from tests.kit.raw_socket import CLOSE, PING, PONG, TEXT, RawSocket
from tests.kit.site import Site

#: Interval below time-out, as 30 and 60 are; daphne looks every 2 s whether a ping is due.
INTERVAL, TIMEOUT = 1, 5


@pytest.fixture(scope="module")
def patient() -> Iterator[Live]:
    """A daphne with its pings many times as fast as usual."""
    with Site() as site:
        arguments = ["--ping-interval", str(INTERVAL), "--ping-timeout", str(TIMEOUT)]
        yield Live(site, site.start("daphne", arguments=arguments))


@pytest.mark.requirement("W6")
async def test_a_late_pong_keeps_the_client_alive(patient: Live) -> None:
    """Answered after more than one interval but within the time-out, no later deadline strikes."""
    async with await RawSocket.connect(patient.server, (await patient.person()).token) as raw:
        begin = time.monotonic()
        ping = await raw.read_until(PING)
        with pytest.raises(TimeoutError):
            # One ping in flight: daphne's own would send a second one here.
            await raw.read_until(PING, timeout=INTERVAL + 2)
        await raw.write(PONG, ping.payload)
        while time.monotonic() - begin < 2 * TIMEOUT:
            await raw.write(PONG, (await raw.read_until(PING)).payload)
        await raw.write(TEXT, b'{"action": "status"}')
        assert b'"status"' in (await raw.read_until(TEXT)).payload


@pytest.mark.requirement("W7")
async def test_a_client_that_never_answers_is_dropped(patient: Live) -> None:
    """The one deadline that runs does strike: the dead are gone after interval and time-out."""
    async with await RawSocket.connect(patient.server, (await patient.person()).token) as raw:
        begin = time.monotonic()
        frames = await raw.read_to_end(INTERVAL + TIMEOUT + 6)
        lived = time.monotonic() - begin
    assert [f.opcode for f in frames if f.opcode in (PING, CLOSE)][:1] == [PING]
    assert lived >= TIMEOUT
    assert all(f.close_code != CloseCode.NORMAL_CLOSURE for f in frames if f.opcode == CLOSE)


@pytest.mark.requirement("F3")
async def test_a_daphne_that_keeps_everything_says_so(patient: Live) -> None:
    """Started without our guard it warns, once; with it there is nothing to warn of."""
    stock = patient.site.start("stock-daphne")
    for _ in range(2):
        assert (await Live(patient.site, stock).http("GET", "/healthz")).status_code == 200
    assert stock.log().count("what slow clients do not read") == 1
    assert "what slow clients do not read" not in patient.server.log()


@pytest.mark.requirement("W6")
async def test_the_guarded_protocol_is_the_one_daphne_builds() -> None:
    """`python -m project.daphne_server` puts its classes where daphne takes them from, with 30 and 60 s."""
    code = (
        "from project import daphne_server as d; d.install(); d.install()\n"
        "from daphne.ws_protocol import WebSocketFactory\n"
        "assert WebSocketFactory.protocol is d.OnePingInFlight\n"
        "line = d.GuardedCommandLine()\n"
        "assert line.server_class is d.GuardedServer\n"
        "found = line.parser.parse_args(['project.asgi:application'])\n"
        "assert (found.ping_interval, found.ping_timeout) == (30, 60)\n"
    )
    command = [sys.executable, "-c", code]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
