"""What can happen to the cluster: each kind of fault, from its beginning until it is healed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis

from tests.faults.cluster import Cluster
from tests.faults.front import Front
from tests.kit.waiting import aeventually


@dataclass(frozen=True)
class Fault:
    """One fault of the schedule."""

    kind: str
    #: What it befalls; no two faults befall the same at once.
    victim: str
    #: The web processes, worker or share it is about.
    index: int
    #: Seconds until it is healed.
    hold: float
    #: For faults that choose: their own random numbers.
    seed: int


class Injuries:
    """Inflicts faults and heals them; every method returns when all is whole again."""

    def __init__(self, cluster: Cluster, front: Front, pace: float) -> None:
        self.cluster = cluster
        self.front = front
        self.pace = pace
        self._numbers = itertools.count(1)
        self._inflict: dict[str, tuple[str, Callable[[Fault], Awaitable[None]]]] = {
            "layer drops": ("drop", self._bent(drop=0.5)),
            "layer repeats": ("duplicate", self._bent(duplicate=0.7)),
            "layer delays": ("delay", self._bent(delay=0.4)),
            "layer reorders": ("reorder", self._bent(reorder=0.6)),
            "layer partitioned": ("partition", self._partition),
            "layer deaf": ("deaf", self._deaf),
            "layer forgets": ("forget", self._forget),
            "web killed": ("web", self._kill_web),
            "worker killed": ("worker", self._kill_worker),
            "worker killed before sequencing": ("worker", self._crash("sequence")),
            "worker killed before publishing": ("worker", self._crash("publish")),
            "Redis stopped": ("redis", self._stop_redis),
            "Redis restarted": ("redis", self._restart_redis),
            "Redis flushed": ("redis", self._flush_redis),
            "Redis paused": ("redis", self._pause_redis),
            "Redis drops subscribers": ("redis", self._drop_subscribers),
            "PostgreSQL restarted, fast": ("postgres", self._restart_postgres("fast")),
            "PostgreSQL restarted, immediate": ("postgres", self._restart_postgres("immediate")),
            "connections cut": ("front", self._cut),
        }

    @property
    def kinds(self) -> list[str]:
        """The name of every kind."""
        return list(self._inflict)

    def plan(self, kind: str, dice: random.Random, hold: tuple[float, float]) -> Fault:
        """Decide what a fault of that kind will be."""
        victim = self._inflict[kind][0]
        count = {"web": len(self.cluster.webs), "worker": len(self.cluster.workers)}.get(victim, 0)
        index = dice.randrange(count or len(self.cluster.webs))
        if count:
            victim = f"{victim} {index}"
        return Fault(kind, victim, index, dice.uniform(*hold), dice.randrange(1 << 30))

    async def inflict(self, fault: Fault) -> None:
        """Let it happen, wait, and heal it."""
        await self._inflict[fault.kind][1](fault)

    # -- the layer ----------------------------------------------------------------------------

    def _bent(self, **orders: float) -> Callable[[Fault], Awaitable[None]]:
        async def bend(fault: Fault) -> None:
            await self._order(fault, **orders)

        return bend

    async def _order(self, fault: Fault, **orders: object) -> None:
        self.cluster.layer.write(**orders)
        await asyncio.sleep(fault.hold)
        self.cluster.layer.write(**dict.fromkeys(orders))

    def _webs(self, fault: Fault) -> list[str]:
        """Some web processes, at least one and not all."""
        names = [f"web-{n}" for n in range(len(self.cluster.webs))]
        dice = random.Random(fault.seed)
        return dice.sample(names, dice.randrange(1, max(2, len(names))))

    async def _partition(self, fault: Fault) -> None:
        await self._order(fault, partition=self._webs(fault))

    async def _deaf(self, fault: Fault) -> None:
        await self._order(fault, deaf=self._webs(fault))

    async def _forget(self, fault: Fault) -> None:
        """Nothing takes it back: only who joins anew hears again."""
        await self._order(fault, forget={"names": self._webs(fault), "number": next(self._numbers)})

    # -- processes ----------------------------------------------------------------------------

    async def _kill_web(self, fault: Fault) -> None:
        await asyncio.to_thread(self.cluster.kill_web, fault.index)
        await asyncio.sleep(fault.hold / 2)
        await asyncio.to_thread(self.cluster.start_web, fault.index)

    async def _kill_worker(self, fault: Fault) -> None:
        self.cluster.worker(fault.index).kill()
        await self._replace_worker(fault)

    async def _replace_worker(self, fault: Fault) -> None:
        await asyncio.sleep(fault.hold)
        await asyncio.to_thread(self.cluster.start_worker, fault.index, fault.seed, self.pace)

    def _crash(self, where: str) -> Callable[[Fault], Awaitable[None]]:
        async def crash(fault: Fault) -> None:
            self.cluster.orders_of(fault.index).write(crash=where)
            child = self.cluster.worker(fault.index)
            await aeventually(lambda: not child.running, 60)
            assert child.process.returncode == -9, child.log()[-3000:]
            await self._replace_worker(fault)

        return crash

    # -- services -----------------------------------------------------------------------------

    async def _stop_redis(self, fault: Fault) -> None:
        await asyncio.to_thread(self.cluster.redis.kill)
        await asyncio.sleep(fault.hold)
        await asyncio.to_thread(self.cluster.redis.start)

    async def _restart_redis(self, fault: Fault) -> None:
        await asyncio.to_thread(self.cluster.redis.restart)
        await asyncio.sleep(fault.hold / 2)

    async def _flush_redis(self, fault: Fault) -> None:
        await asyncio.to_thread(self.cluster.redis.flush)
        await asyncio.sleep(fault.hold / 2)

    async def _pause_redis(self, fault: Fault) -> None:
        self.cluster.redis.pause()
        await asyncio.sleep(fault.hold)
        self.cluster.redis.resume()

    async def _drop_subscribers(self, fault: Fault) -> None:
        def drop() -> None:
            with self.cluster.redis.client() as client:
                client.client_kill_filter(_type="pubsub")

        try:
            await asyncio.to_thread(drop)
        except redis.RedisError:
            return
        await asyncio.sleep(fault.hold / 2)

    def _restart_postgres(self, mode: str) -> Callable[[Fault], Awaitable[None]]:
        async def restart(fault: Fault) -> None:
            await asyncio.to_thread(self.cluster.postgres.restart, mode)

        return restart

    async def _cut(self, fault: Fault) -> None:
        share = random.Random(fault.seed).choice([0.3, 0.6, 1.0])
        await self.front.cut_many(share, fault.hold / 2)
