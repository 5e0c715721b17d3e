"""The hub: one per process, it follows the log and hands each event to the clients it concerns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from realtime import broadcasts, chores, database, layer, leases, log, metrics, replay
from realtime.conf import conf
from realtime.connections import Connections
from realtime.directory import Directory
from realtime.ear import Ear
from realtime.events import BROADCAST, LogEvent
from realtime.presence import Presence
from realtime.protocol.delivery import Delivery
from realtime.reader import Reader
from realtime.rights import Rights
from realtime.ring import Ring
from realtime.topics import keys_of

logger = logging.getLogger("realtime.hub")

#: Seconds an event that came too early waits for the one before it; then the log is read.
HOLE_GRACE = 0.01
#: Seconds between looks for users who have changed, at most.
RIGHTS_INTERVAL = 1.0
#: Early events that are kept; more mean that the log must be read anyway.
EARLY_LIMIT = 1000


class Hub:
    """Follows the log from ``position`` on: dispatches the next event, drops repeats, fills holes."""

    def __init__(self, channel_layer: Any = None, using: str | None = None) -> None:
        self.using = using
        self.reader = Reader(using)
        self.position = 0
        self.ring = Ring(conf.RING_EVENTS, conf.RING_BYTES)
        self.directory = Directory()
        self.ready = asyncio.Event()
        self.rights = Rights()
        self.presence = Presence(using)
        self.connections = Connections(self.presence.id, using)
        self.presence.on_return = self.connections.write_anew
        self.leases = leases.Watch()
        self._early: dict[int, LogEvent] = {}
        self._layer = channel_layer
        self.ear = Ear(self.hear, channel_layer)
        #: When it last was where the log's head was, by the loop's clock.
        self.level_at = 0.0
        self._checking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._hole: asyncio.TimerHandle | None = None
        self._attempts = chores.Attempts()

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the group, then read the head: an event in between is heard, not missed."""
        self._spawn(self.ear.listen())
        self._spawn(self.ear.stay())
        await self.ear.tried.wait()
        self._spawn(self.ear.watch())
        await self._remember(await self._sound_head())
        await self.presence.join()
        self._spawn(self.presence.stay())
        self._spawn(self.presence.tell())
        self._spawn(self.connections.stay())
        self._spawn(self._follow())
        self._spawn(self._watch_rights())
        self._spawn(self.rights.watch_topics(self._attempts))
        self._spawn(chores.watch_transports(self.directory.subscribers))
        self.ready.set()
        self._use_early()

    async def _sound_head(self) -> log.Head:
        """Return the ends of the log; a head below the log's own events was restored without them."""
        head = await database.run_now(log.start, self.using)
        last = await database.run_now(log.last_position, self.using)
        if last > head.position:
            return await self._rebase(lambda found: found.position < last, last)
        return head

    async def _rebase(self, still_wrong: Callable[[log.Head], bool], above: int) -> log.Head:
        return await database.run_now(log.rebase, still_wrong, above, self.using)

    async def _remember(self, head: log.Head) -> None:
        """Fill the ring with the end of the log, so that a deploy costs no query per client."""
        self.position = max(head.floor, head.position - conf.RING_EVENTS)
        self.ring.restart(self.position)
        await self._fill(head)
        self.level_at = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        """End the hub's tasks. Clients are told nothing; theirs is the drain's business."""
        if self._hole is not None:
            self._hole.cancel()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.ready.is_set():
            await self.leave()

    async def leave(self) -> None:
        """Say that this process is gone, and its clients with it."""
        await self.presence.leave()
        await self._attempts.make("The connections could not be taken back", self.connections.leave())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A task of the hub ended.", exc_info=error)

    # -- events in ----------------------------------------------------------------------------

    def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the layer, which may be lost, repeated, late or not ours at all."""
        try:
            events, head = layer.decode(message)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError):
            metrics.NOT_UNDERSTOOD.inc()
            logger.warning("A message of the channel layer was not understood.", exc_info=True)
            return
        self.receive(events)
        if head > self.position:
            self._expect()

    def receive(self, events: Iterable[LogEvent]) -> None:
        """Dispatch what comes next; keep what comes early, and read the log if the gap stays."""
        for event in events:
            if event.position == self.position + 1 and self.ready.is_set():
                self._dispatch(event)
            elif event.position <= self.position:
                metrics.REPEATED.inc()
            elif len(self._early) < EARLY_LIMIT:
                metrics.EARLY.inc()
                self._early[event.position] = event
        if self._early and self.ready.is_set():
            self._use_early()

    def _use_early(self) -> None:
        while (event := self._early.pop(self.position + 1, None)) is not None:
            self._dispatch(event)
        self._early = {p: e for p, e in self._early.items() if p > self.position}
        if self._early:
            self._expect()

    def _expect(self) -> None:
        """Something is missing: give it a moment to arrive, then read the log."""
        if self._hole is None:
            self._hole = asyncio.get_running_loop().call_later(HOLE_GRACE, self._look)

    def _look(self) -> None:
        self._hole = None
        if self._checking.locked():
            self._expect()
        else:
            self._spawn(self._check_quietly())

    def _dispatch(self, event: LogEvent) -> None:
        """Advance by one event and offer it to everybody it concerns."""
        if event.unreadable:
            self._pass_over(event)
            return
        delivery = Delivery(event)
        self.position = event.position
        metrics.DISPATCHED.inc()
        self.ring.push(delivery)
        by_key = self.directory.by_key
        reached = 0
        # Here and not in the directory: a call would make each event 3 % dearer.
        concerned = [members for key in delivery.keys if (members := by_key.get(key))]
        if concerned:
            everybody = concerned[0] if len(concerned) == 1 else set().union(*concerned)
            event = delivery.event
            for subscriber in everybody:
                if subscriber.viewer.sees(event):
                    subscriber.offer(delivery)
                    reached += 1
        elif not delivery.keys:
            self.rights.note(event)
        if event.kind == BROADCAST and self.ready.is_set():
            self.presence.note(str(event.data.get("broadcast_id", "")), reached)

    def _pass_over(self, event: LogEvent) -> None:
        """Go on behind an event that cannot be told; who is owed it must ask the log, and gets a reset."""
        metrics.JUMPS.inc()
        logger.error("Event %d, a %s, cannot be read: clients begin afresh.", event.position, event.kind)
        self.position = event.position
        # Whoever is to be told of it has no other way to it now than the log.
        self.ring.restart(event.position)
        for key in (keys := tuple(keys_of(event))):
            for subscriber in [*self.directory.by_key.get(key, ())]:
                subscriber.fall_behind()
        if not keys:
            self.rights.note(event)

    # -- the log ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Compare with the log for ever: a lost message costs at most one interval."""
        while True:
            await asyncio.sleep(conf.LOG_CHECK_INTERVAL)
            await self._check_quietly()
            due = database.run_now(broadcasts.publish_due, self.using)
            await self._attempts.make("What is due cannot be sent", due)
            leases_due = database.run_now(self.leases.look, self.using)
            await self._attempts.make("Leases cannot be looked at", leases_due)

    async def _watch_rights(self) -> None:
        """Look after those who are connected, whatever becomes of the rest."""
        while True:
            await asyncio.sleep(min(RIGHTS_INTERVAL, conf.LOG_CHECK_INTERVAL))
            await self._attempts.make("Rights cannot be looked up", self.rights.recheck())

    async def _check_quietly(self) -> None:
        await self._attempts.make("The event log cannot be read", self.check())

    async def check(self, until: int | None = None) -> None:
        """Bring the hub up to the log's head, mend a damaged log, and position orphans.

        With ``until``, do nothing when the hub has come that far meanwhile. Raises ``DatabaseError`` or
        ``TimeoutError`` when the log cannot be read.
        """
        async with self._checking:
            if until is not None and self.position >= until:
                return
            # What others publish while we read may carry us past the head we read.
            mine, early = self.position, set(self._early)
            head = await database.run_now(log.read_head, self.using)
            if head is None or head.position < mine:
                head = await self._rebase(lambda found: found.position < mine, mine)
            if head.floor > self.position:
                self._jump(head.floor)
            await self._fill(head)
            self.level_at = asyncio.get_running_loop().time()
            # An event beyond the head, though published before we read it, is of another log.
            for position in early:
                if position > head.position:
                    self._early.pop(position, None)
            orphans = await database.run_now(chores.sequence_orphans, self.using)
        if orphans:
            metrics.ORPHANS.inc(len(orphans))
            self.receive(orphans)
            self._spawn(chores.ring_for(orphans, self._layer))

    async def _fill(self, head: log.Head) -> None:
        """Dispatch what the log holds up to ``head``; a hole above the floor means that it is damaged."""
        while (mine := self.position) < head.position:
            read = 0
            for event in await database.run_now(replay.read, mine, head.position, replay.PAGE, self.using):
                if event.position == self.position + 1:
                    self._dispatch(event)
                    read += 1
            if read and self.ready.is_set():
                metrics.HOLES.inc()
                metrics.HOLE_EVENTS.inc(read)
            if self.position > mine:
                continue
            # Read again by who holds the head: pruning may just have moved the floor over it.
            head = await self._rebase(partial(_misses, mine), mine)
            if head.floor > self.position:
                self._jump(head.floor)

    def _jump(self, position: int) -> None:
        """Go on at ``position``, over events that are gone: everybody must ask the log."""
        metrics.JUMPS.inc()
        self.position = position
        self._early.clear()
        self.ring.restart(position)
        for subscriber in self.directory.subscribers:
            subscriber.fall_behind()


def _misses(position: int, head: log.Head) -> bool:
    """Whether the event after ``position`` should be there and is not: nothing has pruned it."""
    return head.floor <= position < head.position
