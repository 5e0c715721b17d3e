"""Fan-out: one task, saved many times a second, watched by many clients of one server process.

Three ways side by side, in alternating rounds, each round with a fresh server: our WebSocket, our
event stream, and the Channels tutorial's consumer. The server is uvicorn each time; Redis, the
database and the process that saves are real.
"""

import statistics
import time
from dataclasses import dataclass

from tests.kit.crowd import Clients
from tests.kit.crowd_plans import plan
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.site import Database, Site

#: Clients that connect before memory is first measured: by then every module has been loaded.
FIRST = 50
#: Seconds of updates before the measurement begins.
WARM_UP = 1.0
#: Seconds without any delivery after which no more are waited for.
PATIENCE = 10


@dataclass(frozen=True)
class Options:
    """How much of everything."""

    clients: int
    rate: float
    seconds: float
    rounds: int
    ways: tuple[str, ...]
    database: Database


@dataclass(frozen=True)
class Result:
    """One round of one way."""

    deliveries: int
    missing: int
    cpu_us: float
    """Processor time of the server per delivery, in microseconds."""
    p50_ms: float
    p99_ms: float
    """From the commit to the client, in milliseconds."""
    memory_kb: float
    """Growth of the server's memory per idle connection, in KiB."""
    client_load: float
    """Processors that the clients' process used; near 1 means that it was the bottleneck."""


#: The ASGI application of each way.
WAYS = {
    "websocket": "project.asgi:application",
    "sse": "project.asgi:application",
    "tutorial": "bench.tutorial:application",
}
OWNER = "bench"
#: The light clients answer no pings, and a slow way's round may last longer than the server would wait.
NO_PINGS = ["--ws-ping-interval", "3600"]


def measure(site: Site, way: str, options: Options) -> Result:
    """Run one round: a fresh server, a task of its own, all clients."""
    writer = site.remote("writer")
    create = "task = Task.objects.create(name='Fan-out', owner=User.objects.get(username=owner))"
    task_id = writer.run(f"{create}\ntask.start()\nstr(task.pk)", owner=OWNER)
    log = site.folder / f"{way}.log"
    server = Server("uvicorn", site.env, log, arguments=NO_PINGS, application=WAYS[way])
    plan_ = plan(way, server.port, site.token(OWNER), task_id)
    try:
        with Clients() as clients:
            clients.ask("open", count=FIRST, plan=plan_)
            before = server.rss()
            clients.ask("open", count=options.clients - FIRST, plan=plan_)
            memory = (server.rss() - before) / 1024 / (options.clients - FIRST)
            return _window(writer, task_id, server, clients, options, memory)
    finally:
        server.kill()


def _window(
    writer: Remote, task_id: str, server: Server, clients: Clients, options: Options, memory_kb: float
) -> Result:
    """Warm up, measure while the task is saved, and wait until everything has arrived."""
    write = "from tests.kit.writer import write\nwrite(task_id, first, count, rate)"
    before, count = round(WARM_UP * options.rate), round(options.seconds * options.rate)
    writer.run(write, task_id=task_id, first=0, count=before, rate=options.rate)
    _drain(clients, before * options.clients)
    cpu, client_cpu, begin = server.cpu(), clients.ask("cpu"), time.monotonic()
    commits = writer.run(write, task_id=task_id, first=before, count=count, rate=options.rate)
    _drain(clients, (before + count) * options.clients)
    cpu, client_cpu = server.cpu() - cpu, clients.ask("cpu") - client_cpu
    load = client_cpu / (time.monotonic() - begin)
    report = clients.ask("report")
    delays = sorted(
        (moment - commits[number - before]) * 1000
        for number, moment in zip(report["numbers"], report["times"], strict=True)
        if number >= before
    )
    if report["lost"]:
        raise RuntimeError(f"{report['lost']} clients lost their connection:\n{server.log()[-2000:]}")
    return Result(
        deliveries=len(delays),
        missing=count * options.clients - len(delays),
        cpu_us=cpu / len(delays) * 1e6,
        p50_ms=delays[len(delays) // 2],
        p99_ms=delays[len(delays) * 99 // 100],
        memory_kb=memory_kb,
        client_load=load,
    )


def _drain(clients: Clients, expected: int) -> None:
    """Wait as long as deliveries arrive; what is then still to come is counted as missing."""
    count, deadline = 0, time.monotonic() + PATIENCE
    while count < expected and time.monotonic() < deadline:
        time.sleep(0.05)
        arrived = clients.ask("count")
        if arrived > count:
            count, deadline = arrived, time.monotonic() + PATIENCE


def run(options: Options) -> dict[str, list[Result]]:
    """Measure every way in turn, round after round, and print each result as it comes."""
    results: dict[str, list[Result]] = {way: [] for way in options.ways}
    # TASK_GROUPS makes each save ring for the tutorial's groups too; our hub is in none of them.
    # All clients are one user's, from one address.
    limits = {"MAX_CONNECTIONS_PER_USER": options.clients, "MAX_CONNECTIONS_PER_ADDRESS": options.clients}
    with Site(options.database, redis=True, settings={"TASK_GROUPS": True, **limits}) as site:
        site.create_user(OWNER)
        for number in range(1, options.rounds + 1):
            for way in options.ways:
                result = measure(site, way, options)
                results[way].append(result)
                print(f"round {number}  {_line(way, [result])}", flush=True)
    return results


def _line(way: str, results: list[Result]) -> str:
    def median(field: str) -> float:
        return statistics.median(getattr(result, field) for result in results)

    missing = sum(result.missing for result in results)
    return (
        f"{way:<10} {median('cpu_us'):6.1f} µs/delivery   p50 {median('p50_ms'):7.1f} ms   "
        f"p99 {median('p99_ms'):7.1f} ms   {median('memory_kb'):5.1f} KiB/connection   "
        f"missing {missing}   clients' load {median('client_load'):.2f}"
    )


def print_summary(options: Options, results: dict[str, list[Result]]) -> None:
    """Print the medians, and the ratios to the tutorial's way within each round."""
    print(
        f"\n{options.clients} clients × {options.rate:g} messages/s, {options.seconds:g} s, "
        f"{options.database}, medians of {options.rounds}:"
    )
    for way, found in results.items():
        print(_line(way, found))
    for way in results:
        if way != "tutorial" and "tutorial" in results:
            pairs = zip(results["tutorial"], results[way], strict=True)
            ratio = statistics.median(theirs.cpu_us / ours.cpu_us for theirs, ours in pairs)
            print(f"{way} is {ratio:.1f} times cheaper per delivery than the tutorial's way")
