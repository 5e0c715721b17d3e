"""Slow consumers: what a server keeps for one client that stops reading, and when and how it ends.

One client of each kind in turn, each on a fresh server: a WebSocket or an event stream, with a small
or the usual receive buffer, on uvicorn and on daphne as the project starts them, and on daphne as it
comes. `answers` is a WebSocket that answered a ping before it stopped.
"""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from urllib.request import urlopen

from tests.kit.line import Line
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.site import Site

OWNER = "bench"
SERVERS = ("uvicorn", "daphne", "stock-daphne")
KINDS = ("websocket", "answers", "sse")
#: Receive buffers in bytes; 0 leaves it to the kernel.
BUFFERS = (4096, 0)
#: Tasks that one statement changes: so many events at a time.
TASKS = 10

COLUMNS = (
    *("server", "client", "buffer", "events/s", "MB after 5 / 10 / 20 s", "most MB"),
    *("kernel MB", "told s", "ended s", "read afterwards"),
)
CREATE = """
for _ in range(count):
    Task.objects.create(name="Slow", owner=User.objects.get(username=owner))
"""
WRITE = """
import time
begin, number = time.monotonic(), 0
while (passed := time.monotonic() - begin) < seconds:
    if number < passed * rate:
        number += Task.objects.filter(owner__username=owner).update(message=f"{number} " + "x" * size)
    time.sleep(0.002)
number
"""


@dataclass(frozen=True)
class Options:
    """How much of everything."""

    rate: float
    size: int
    seconds: int
    """At most, for one client."""
    servers: Sequence[str]


def measure(site: Site, server_kind: str, kind: str, buffer: int, options: Options) -> str:
    """Watch one client from the moment it stops reading; return a row of the table."""
    writer = site.remote("writer")
    server = Server(server_kind, site.env, site.folder / f"{server_kind}-{kind}-{buffer}.log")
    with ExitStack() as ending:
        ending.callback(server.kill)
        line = ending.enter_context(closing(Line(server, site.token(OWNER), kind, buffer)))
        if kind == "answers":
            # The first ping comes early when much is written; 30 seconds are not waited for.
            _write(writer, options, 0.5)
            if not line.answer_a_ping():
                return f"| {server_kind} | {kind} | {buffer or 'usual'} | no ping came in time |"
        begin, base = time.monotonic(), server.rss()
        grown: list[float] = []
        kernel, told, ended, written = 0, None, None, 0
        while (passed := time.monotonic() - begin) < options.seconds and ended is None:
            written += _write(writer, options, 0.5)
            grown.append((server.rss() - base) / 1e6)
            held = line.in_kernel()
            passed = time.monotonic() - begin
            kernel = max(kernel, held or 0)
            if told is None and _clients(server) == 0:
                told = passed
            if held is None:
                ended = passed
        at = [grown[min(n * 2, len(grown)) - 1] for n in (5, 10, 20)]
        return (
            f"| {server_kind} | {kind} | {buffer or 'usual'} | {written / passed:.0f} "
            f"| {at[0]:.0f} / {at[1]:.0f} / {at[2]:.0f} | {max(grown):.0f} | {kernel / 1e6:.2f} "
            f"| {_seconds(told)} | {_seconds(ended)} | {line.end()} |"
        )


def _write(writer: Remote, options: Options, seconds: float) -> int:
    return int(writer.run(WRITE, owner=OWNER, seconds=seconds, rate=options.rate, size=options.size))


def _clients(server: Server) -> int:
    with urlopen(f"{server.url}/census", timeout=20) as answer:
        return int(json.load(answer)["clients"])


def _seconds(moment: float | None) -> str:
    return "never" if moment is None else f"{moment:.0f}"


def run(options: Options) -> None:
    """Measure every client on every server, and print the table row by row."""
    settings = {"LOG_CHECK_INTERVAL": 0.1, "RING_BYTES": 4_000_000, "RING_EVENTS": 200}
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    with Site(settings=settings, env={"DJANGO_SETTINGS_MODULE": "tests.flow_settings"}) as site:
        site.create_user(OWNER)
        site.remote("writer").run(CREATE, owner=OWNER, count=TASKS)
        for server in options.servers:
            for kind in KINDS:
                for buffer in BUFFERS:
                    print(measure(site, server, kind, buffer, options), flush=True)
