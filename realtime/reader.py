"""What streams ask of the database: pages read once for all who want the same, look-ups in batches."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Hashable
from typing import Any

from realtime import database, replay, snapshots
from realtime.conf import conf
from realtime.events import Viewer
from realtime.topics import Subscriptions

#: Tasks looked up in one query.
BATCH = 500


class Reader:
    """Bounds the database work of all streams of a process, so that the hub's own never waits."""

    def __init__(self, using: str | None = None) -> None:
        self._using = using
        # One thread stays free for the hub, which must keep up with the log.
        self._slots = asyncio.Semaphore(max(1, conf.DB_THREADS - 1))
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}
        self._wanted: dict[str, None] = {}
        self._batch: asyncio.Task[snapshots.States] | None = None

    async def page(self, after: int, keys: Collection[str], viewer: Viewer, count: int) -> replay.Page:
        """Return one page of the log, read once for all who ask for the same meanwhile."""
        seen_as = "" if viewer.view_all else viewer.user_id
        key = (after, frozenset(keys), seen_as, count)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(
                self._run(replay.page, after, tuple(keys), viewer, count, self._using)
            )
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        # Shielded: one of them going away must not take the page from the others.
        return await asyncio.shield(flight)

    async def nothing_after(self, cursor: int, keys: Collection[str], viewer: Viewer) -> bool:
        """Tell whether ``cursor`` is of this log and no event after it is for this viewer."""
        page = await self.page(cursor, keys, viewer, 0)
        return page.floor <= cursor <= page.head and not page.events

    async def _run(self, function: Any, *args: Any) -> Any:
        async with self._slots:
            return await database.run(function, *args)

    async def states(self, task_ids: Collection[str]) -> snapshots.States:
        """Look tasks up; those asked for while a query waits for its thread share the next one."""
        position, found = None, {}
        ids = list(task_ids)
        for start in range(0, len(ids), BATCH):
            self._wanted.update(dict.fromkeys(ids[start : start + BATCH]))
            if self._batch is None:
                self._batch = asyncio.create_task(self._look_up())
            states = await asyncio.shield(self._batch)
            position = states.position if position is None else min(position, states.position)
            found.update(states.tasks)
        return snapshots.States(position or 0, {i: found[i] for i in ids if i in found})

    async def _look_up(self) -> snapshots.States:
        async with self._slots:
            wanted, self._wanted, self._batch = self._wanted, {}, None
            return await database.run(snapshots.load_states, list(wanted), self._using)

    async def snapshot(self, wanted: Subscriptions, viewer: Viewer) -> snapshots.Snapshot:
        """Read the current rows of what is wanted and may be seen."""
        snapshot = None
        if wanted.topics:
            snapshot = await self._run(snapshots.load_topics, list(wanted.topics), viewer, self._using)
        states = await self.states(wanted.task_ids) if wanted.task_ids else None
        if snapshot is None:
            # Of nothing, every position is a true snapshot.
            snapshot = snapshots.Snapshot(states.position if states else sys.maxsize)
        if states is not None:
            snapshot.position = min(snapshot.position, states.position)
            for task_id, state in states.tasks.items():
                if viewer.view_all or state.owner == viewer.user_id:
                    snapshot.rows[task_id] = state.data
        return snapshot
