"""Many light clients in a process of their own: they look for numbered marks and parse nothing else.

The process is told what to do by lines of JSON on its standard input, and answers each with one.
"""

import asyncio
import json
import re
import resource
import subprocess
import sys
import time
from array import array
from typing import Any

import uvloop

from tests.kit import reaper
from tests.kit.ports import HOST
from tests.kit.process import ROOT

_MARK = re.compile(rb"#(\d{7})@")
#: Bytes that may hold the beginning of a mark, kept for the next piece.
_TAIL = 8
#: Connections that are opened at a time.
_AT_ONCE = 50


def mark(number: int) -> str:
    """Return the text by which a client knows a message."""
    return f"#{number:07d}@"


class Tally:
    """What all clients together have received: numbers and monotonic times of arrival."""

    def __init__(self) -> None:
        self.numbers = array("l")
        self.times = array("d")
        self.lost = 0


class Client(asyncio.Protocol):
    """One connection: sends its request, waits for its sign that all is ready, then counts marks."""

    def __init__(self, tally: Tally, plan: dict[str, Any]) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tally = tally
        self._to_send = [text.encode("latin-1") for text in plan["send"]]
        self._signs = [text.encode() for text in plan["signs"]]
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first words."""
        self._transport = transport
        transport.write(self._to_send.pop(0))  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        """Note it: a client that was dropped makes the measurement worthless."""
        self._tally.lost += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(self._tail.decode(errors="replace")))

    def data_received(self, data: bytes) -> None:
        """Count marks, or wait for the sign after which the next words are sent."""
        if self._signs:
            self._begin(data)
            return
        moment, tally, end = time.monotonic(), self._tally, 0
        data = self._tail + data
        for found in _MARK.finditer(data):
            tally.numbers.append(int(found[1]))
            tally.times.append(moment)
            end = found.end()
        self._tail = data[max(end, len(data) - _TAIL) :]

    def _begin(self, data: bytes) -> None:
        self._tail += data
        while self._signs and (at := self._tail.find(self._signs[0])) >= 0:
            self._tail = self._tail[at + len(self._signs.pop(0)) :]
            if self._to_send:
                self._transport.write(self._to_send.pop(0))  # type: ignore[attr-defined]
        if not self._signs and not self.ready.done():
            self._tail = b""
            self.ready.set_result(None)


async def _open(tally: Tally, plan: dict[str, Any]) -> None:
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(tally, plan), HOST, plan["port"]
    )
    await client.ready


async def _serve() -> None:
    tally, loop = Tally(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        answer: Any = None
        if order["do"] == "open":
            for start in range(0, order["count"], _AT_ONCE):
                batch = min(_AT_ONCE, order["count"] - start)
                await asyncio.gather(*(_open(tally, order["plan"]) for _ in range(batch)))
        elif order["do"] == "count":
            answer = len(tally.numbers)
        elif order["do"] == "report":
            answer = {"numbers": list(tally.numbers), "times": list(tally.times), "lost": tally.lost}
        elif order["do"] == "cpu":
            usage = resource.getrusage(resource.RUSAGE_SELF)
            answer = usage.ru_utime + usage.ru_stime
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


class Clients:
    """The process of the clients, as the measurement sees it; use it in a ``with`` block."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.crowd"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        reaper.watch(self._process.pid)

    def ask(self, do: str, **order: Any) -> Any:
        """Give one order and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The clients' process ended.")
        return json.loads(line)

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()  # closes the pipes too


if __name__ == "__main__":
    uvloop.run(_serve())
