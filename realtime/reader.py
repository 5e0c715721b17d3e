"""What streams ask of the database: pages read once for all who want the same, look-ups in batches."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Hashable
from typing import Any

from realtime import database, grants, replay, snapshots
from realtime.events import LogEvent, Viewer
from realtime.topics import Subscriptions


class Reader:
    """Saves the database the work that streams of one process would have it do twice."""

    def __init__(self, using: str | None = None) -> None:
        self._using = using
        self._flights: dict[Hashable, asyncio.Task[Any]] = {}
        self._wanted: dict[str, None] = {}
        self._batch: asyncio.Task[snapshots.States] | None = None
        self._notices: asyncio.Task[snapshots.Notices] | None = None

    async def page(self, after: int, keys: Collection[str], viewer: Viewer, count: int) -> replay.Page:
        """Return one page of the log, read once for all who ask for the same meanwhile."""
        # Of the broadcasts each takes those for it: they are in everybody's page.
        seen_as = "" if viewer.view_all else viewer.user_id
        key = (after, frozenset(keys), seen_as, count)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(
                database.run(replay.page, after, tuple(keys), viewer, count, self._using)
            )
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        # Shielded: one of them going away must not take the page from the others.
        return await asyncio.shield(flight)

    async def nothing_after(self, cursor: int, keys: Collection[str], viewer: Viewer) -> bool:
        """Tell whether ``cursor`` is of this log and no event after it is, or will be, for this viewer."""
        return await database.run(replay.nothing_after, cursor, tuple(keys), viewer, self._using)

    async def states(self, task_ids: Collection[str]) -> snapshots.States:
        """Look tasks up; those asked for while others wait for their turn share one query."""
        if not task_ids:
            return snapshots.States(0, {})
        self._wanted.update(dict.fromkeys(task_ids))
        # One that failed while it waited for its turn has not made room for the next itself.
        if self._batch is None or self._batch.done():
            self._batch = asyncio.create_task(self._look_up())
        position, found = await asyncio.shield(self._batch)
        return snapshots.States(position, {i: found[i] for i in task_ids if i in found})

    async def _look_up(self) -> snapshots.States:
        async with asyncio.timeout(database.DEADLINE), database.turns():
            # Taken only now: what comes from here on is the next batch's.
            wanted, self._wanted, self._batch = self._wanted, {}, None
            return await database.run_now(snapshots.load_states, list(wanted), self._using)

    async def notices(self) -> snapshots.Notices:
        """Return the notices in their window, read once for all who ask for their turn meanwhile."""
        if self._notices is None or self._notices.done():
            self._notices = asyncio.create_task(self._read_notices())
        return await asyncio.shield(self._notices)

    async def _read_notices(self) -> snapshots.Notices:
        async with asyncio.timeout(database.DEADLINE), database.turns():
            # Who comes from here on needs those that were sent meanwhile.
            self._notices = None
            return await database.run_now(snapshots.load_notices, self._using)

    async def granted(self, topics: Collection[str], viewer: Viewer) -> set[str]:
        """Return those of the project's own topics that the viewer may see."""
        pairs = [(viewer.user_id, topic) for topic in topics]
        return {topic for _, topic in await database.run(grants.granted, pairs)}

    async def snapshot(
        self, wanted: Subscriptions, viewer: Viewer, notices: bool = False
    ) -> snapshots.Snapshot:
        """Read the current rows of what is wanted and may be seen, and the ``notices`` if they are too."""
        snapshot = None
        own = wanted.own
        if len(wanted.topics) > len(own):
            snapshot = await database.run(snapshots.load_topics, list(wanted.topics), viewer, self._using)
        states = await self.states(wanted.task_ids) if wanted.task_ids else None
        if snapshot is None:
            # Of nothing, every position is a true snapshot.
            snapshot = snapshots.Snapshot(states.position if states else sys.maxsize)
        if own:
            snapshot.own = await database.run(snapshots.load_own, own, viewer.user_id, self._using)
            snapshot.position = min(snapshot.position, snapshot.own.position)
        if states is not None:
            snapshot.position = min(snapshot.position, states.position)
            for task_id, state in states.tasks.items():
                if viewer.view_all or state.owner == viewer.user_id:
                    snapshot.rows[task_id] = state.data
        if notices:
            found = await self.notices()
            snapshot.position = min(snapshot.position, found.position)
            named: list[LogEvent] = []
            if found.personal:
                named = await database.run(snapshots.load_named, viewer.user_id, self._using)
            snapshot.notices = found.of(viewer, named)
        return snapshot
