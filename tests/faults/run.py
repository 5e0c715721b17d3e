"""A run: the cluster, its clients, the schedule of faults, and the judgement in the end."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any

import psycopg

from tests.faults.archive import Archive
from tests.faults.caller import Caller
from tests.faults.checker import Log
from tests.faults.client import Client
from tests.faults.cluster import Cluster
from tests.faults.crowd import crowd
from tests.faults.figures import Figures, Options
from tests.faults.front import Front
from tests.faults.history import Names
from tests.faults.injuries import Fault, Injuries
from tests.faults.judgement import judge
from tests.kit.waiting import aeventually

#: Seconds: between looks at the log; for everything to be level again; and for a process to be ready.
LOOK, LEVEL, READY = 0.2, 90.0, 60.0


class Run:
    """One run from its start to the verdict."""

    def __init__(self, options: Options, say: Callable[[str], None] = lambda line: None) -> None:
        self.options = options
        self.say = say
        self.dice = random.Random(options.seed)
        self.names = Names()
        self.log = Log((), self.names)
        self.figures = Figures(options.seed)
        self.clients: list[Client] = []
        self.front = Front(self.dice.randrange(1 << 30))
        self._busy: set[str] = set()
        #: The faults there were, from when until when.
        self.past: list[tuple[str, float, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def go(self) -> Figures:
        """Do it all; what went wrong is in the figures' verdict."""
        options = self.options
        settings = {
            "MAX_CONNECTIONS_PER_USER": 10_000,
            "MAX_CONNECTIONS_PER_ADDRESS": 10_000,
            "SNAPSHOT_LIMIT": 5_000,
            "PING_INTERVAL": 3,
            "SSE_HEARTBEAT_INTERVAL": 3,
            "SSE_RETRY_MS": 100,
            "PROGRESS_INTERVAL": 0.1,
            "LEASE_SECONDS": 10,
            **options.settings,
        }
        began = time.monotonic()
        self.cluster = await asyncio.to_thread(Cluster, options.webs, options.workers, settings)
        try:
            await self._prepare()
            begin = time.monotonic()
            await self._suffer(begin)
            suffered = time.monotonic()
            await self._come_to_rest()
            self.figures.seconds = time.monotonic() - begin
            await judge(self)
            self.say(
                f"{begin - began:.0f} s to begin, {suffered - begin:.0f} s of faults,"
                f" {time.monotonic() - suffered:.0f} s to rest and be judged"
            )
        except BaseException:
            self.say(self.cluster.logs())
            raise
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.front.close()
            await asyncio.to_thread(self.cluster.close)
        return self.figures

    # -- the beginning ------------------------------------------------------------------------

    async def _prepare(self) -> None:
        options, cluster = self.options, self.cluster
        people = asyncio.to_thread(cluster.people, options.owners, max(2, options.owners // 3))
        webs = [asyncio.to_thread(cluster.start_web, n) for n in range(len(cluster.webs))]
        users, *_ = await asyncio.gather(people, *webs)
        self.archive = Archive(cluster.url, self.names)
        await self.front.open(cluster.ports)
        self.injuries = Injuries(cluster, self.front, options.pace)
        for index in range(options.workers):
            await asyncio.to_thread(cluster.start_worker, index, self.dice.randrange(1 << 30), options.pace)
        self.clients = crowd(options.clients, users, self.front, self.archive, self.dice)
        for client in self.clients:
            self._spawn(client.run())
        self.caller = Caller(users, cluster.ports, self.archive, self.dice.randrange(1 << 30))
        self._calling = self._spawn(self.caller.run(options.calls))
        self._spawn(self._follow())
        await aeventually(self._has_begun, READY, 0.05)

    def _has_begun(self) -> bool:
        return bool(self.log.facts) and all(client.settled or client.idle for client in self.clients)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            trace = "".join(traceback.format_exception(error))[-4000:]
            self.figures.verdict.complain("the kit failed", trace)
            self.say(f"the kit failed: {trace}")

    async def _follow(self) -> None:
        """Follow the log in the database, apart from everything that is tested."""
        last = 0
        while True:
            with (
                suppress(psycopg.Error),
                closing(await asyncio.to_thread(self.archive.connect)) as connection,
            ):
                while True:
                    for row in await asyncio.to_thread(self.archive.events, connection, last):
                        self.log.add(self.archive.follow(row))
                        last = row[0]
                    await asyncio.sleep(LOOK)
            await asyncio.sleep(LOOK)

    # -- the middle ---------------------------------------------------------------------------

    @property
    def deliveries(self) -> int:
        """Events that have reached a client."""
        return sum(client.deliveries for client in self.clients)

    def _enough(self) -> bool:
        counted = self.figures.counted
        every = all(counted[kind] for kind in self.injuries.kinds)
        return every and counted.total() >= self.options.faults and self.deliveries >= self.options.deliveries

    async def _suffer(self, begin: float) -> None:
        """Inflict one fault after the other, in rounds of all kinds, until it is enough."""
        options = self.options
        told = begin
        waiting: list[str] = []
        while not self._enough() and time.monotonic() - begin < options.limit:
            if not waiting:
                waiting = self.dice.sample(self.injuries.kinds, len(self.injuries.kinds))
                if self.figures.counted.total() >= options.faults:
                    # Only those are missing that have never counted; else time must pass.
                    waiting = [kind for kind in waiting if not self.figures.counted[kind]] or waiting
            fault = self.injuries.plan(waiting.pop(), self.dice, options.hold)
            await aeventually(partial(self._is_free, fault.victim), READY)
            self._busy.add(fault.victim)
            self._spawn(self._fault(fault))
            await asyncio.sleep(self.dice.uniform(0, options.gap))
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                self._progress(told - begin)
        await aeventually(lambda: not self._busy, READY)
        self.figures.complete = self._enough()

    def _is_free(self, victim: str) -> bool:
        return len(self._busy) < self.options.together and victim not in self._busy

    def _progress(self, seconds: float) -> None:
        figures = self.figures
        connected = sum(client.settled for client in self.clients)
        resets = sum(len(life.resets) for client in self.clients for life in client.lives)
        self.say(
            f"{seconds:6.0f} s  {self.deliveries:>9,} deliveries of {len(self.log.facts):,} events,"
            f" {figures.counted.total()} of {figures.injected.total()} faults counted,"
            f" {connected}/{len(self.clients)} clients connected, {self.front.cuts:,} cuts, {resets} resets"
        )

    async def _fault(self, fault: Fault) -> None:
        figures, begin = self.figures, time.time()
        try:
            before = await self._head()
            await self.injuries.inflict(fault)
            healed = time.monotonic()
            await self._all_ready({"ready", "degraded"})
            after = await self._head()
        finally:
            self._busy.discard(fault.victim)
            self.past.append((fault.kind, begin, time.time()))
        figures.injected[fault.kind] += 1
        figures.counted[fault.kind] += after > before
        await self._all_level(after)
        # Others may have begun meanwhile: it is the most that a client could have to wait.
        if (seconds := time.monotonic() - healed) > figures.recovery:
            figures.recovery, figures.recovered_from = seconds, fault.kind

    async def _head(self) -> int:
        """Where the log ends; waits for a database that is just away for another reason."""
        deadline = time.monotonic() + READY
        while True:
            try:
                return (await asyncio.to_thread(self.archive.head))[1]
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def _all_ready(self, states: set[str]) -> None:
        """Wait until every web process says so; those that another fault has just killed are its business."""
        async with asyncio.timeout(READY):
            for index in range(len(self.cluster.webs)):
                while f"web {index}" not in self._busy or states == {"ready"}:
                    if await asyncio.to_thread(self.cluster.health, index) in states:
                        break
                    await asyncio.sleep(0.1)

    async def _all_level(self, head: int) -> None:
        """Wait until every client has had everything up to ``head`` that it is owed."""
        deadline = time.monotonic() + LEVEL
        late = list(self.clients)
        while late := [client for client in late if not self._is_level(client, head)]:
            if time.monotonic() > deadline:
                for client in late:
                    owed = self.log.last_owed(client.life, head)
                    self.figures.verdict.complain("never level", f"{time.time():.3f} owed {owed}: {client}")
                return
            await asyncio.sleep(0.05)

    def _is_level(self, client: Client, head: int) -> bool:
        """Whether it has had all that; one that has found nothing to watch is owed nothing."""
        if max_position(self.log) < head:
            return False
        cursor = client.life.view.cursor
        return client.idle if cursor is None else cursor >= self.log.last_owed(client.life, head)

    # -- the end ------------------------------------------------------------------------------

    async def _come_to_rest(self) -> None:
        """Let the workers end, everything arrive, and every process be ready without any doubt."""
        self.front.cutting = False
        for link in self.front.links:
            link.left = 1 << 62
        self._calling.cancel()
        await asyncio.to_thread(self.cluster.end_workers)
        await aeventually(self._is_settled, READY, 0.1)
        await self._all_ready({"ready"})
        await self._all_level(await self._head())
        for client in self.clients:
            client.stop()

    async def _is_settled(self) -> bool:
        return not await asyncio.to_thread(self.archive.unsettled)


def max_position(log: Log) -> int:
    """The last position that has been read of the log."""
    return next(reversed(log.facts), 0)
