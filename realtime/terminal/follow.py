"""Following the log from a shell, in the same process: no server, no token, no trace in the site.

A hub would be a process of the site, counted among those that a broadcast must reach. This only reads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError, connections

from realtime import chores, log, replay, snapshots
from realtime.client.errors import NotFound, Overdue
from realtime.client.events import Event, event_of
from realtime.events import TASK_LOG, LogEvent, Viewer, now
from realtime.protocol.delivery import frame_of
from realtime.topics import Subscriptions

logger = logging.getLogger("realtime.terminal")


def follow(wanted: Subscriptions, viewer: Viewer, interval: float, timeout: float | None) -> Iterator[Event]:
    """Yield the rows as they are now, ``Subscribed``, and every later event, each once and in order.

    Looks every ``interval`` seconds, for ever. Raises ``NotFound`` for a task that there is not, ``Overdue``
    after ``timeout`` seconds. A database that fails once it has been read is waited for.
    """
    end = None if timeout is None else time.monotonic() + timeout
    follower = Follower(wanted, viewer)
    yield from follower.snapshot()
    failing = False
    while True:
        try:
            yield from follower.news()
            failing = False
        except (OperationalError, InterfaceError) as error:
            if not failing:
                logger.warning("The log cannot be read; it is tried again: %s", error)
            failing = True
            connections[log.database()].close()
        left = interval if end is None else min(interval, end - time.monotonic())
        if left <= 0:
            raise Overdue(f"Not within {timeout} s.")
        time.sleep(left)


class Follower:
    """A cursor in the log, and what is wanted of it."""

    def __init__(self, wanted: Subscriptions, viewer: Viewer) -> None:
        self._wanted, self._viewer = wanted, viewer
        self._keys = tuple(wanted.keys(viewer))
        self._cursor = 0
        #: Versions that the snapshot has told.
        self._held: dict[str, int] = {}
        self._begun = False

    def snapshot(self) -> list[Event]:
        """Return the present rows and ``Subscribed``; go on from there. Raises ``NotFound``."""
        found = snapshots.load_topics(list(self._wanted.topics), self._viewer)
        if self._wanted.task_ids:
            states = snapshots.load_states(list(self._wanted.task_ids))
            missing = [task_id for task_id in self._wanted.task_ids if task_id not in states.tasks]
            if missing and not self._begun:
                raise NotFound(f"No such task: {missing[0]}")
            found.position = min(found.position, states.position)
            found.rows.update((task_id, state.data) for task_id, state in states.tasks.items())
        self._begun = True
        self._cursor = found.position
        self._held = {task_id: row["version"] for task_id, row in found.rows.items()}
        rows = [
            _event("task_update", task_id=task_id, data=row, snapshot=True)
            for task_id, row in reversed(found.rows.items())
        ]
        names = {"task_ids": [*self._wanted.task_ids], "topics": [*self._wanted.topics]}
        return [*rows, _event("subscribed", position=self._cursor, truncated=found.truncated, **names)]

    def news(self) -> Iterator[Event]:
        """Yield what has come since; where that is gone, ``Reset`` and a new snapshot."""
        chores.sequence_orphans(None)  # where no server runs, nobody else would
        while True:
            before = self._cursor
            page = replay.page(before, self._keys, self._viewer, 0)
            if page.floor > before:
                yield _event("reset", reason="expired")
                yield from self.snapshot()
                return
            for event in page.events:
                self._cursor = event.position
                if self._is_new(event):
                    yield _told(event, self._viewer)
            self._cursor = page.upto
            if not page.events:
                return

    def _is_new(self, event: LogEvent) -> bool:
        if event.kind == TASK_LOG:
            return True
        held = self._held.pop(event.task_id, 0)
        if event.version <= held:
            self._held[event.task_id] = held
            return False
        return True


def _told(event: LogEvent, viewer: Viewer) -> Event:
    return event_of(msgspec.to_builtins(frame_of(event, removed=viewer.loses(event))))


def _event(kind: str, **fields: Any) -> Event:
    return event_of({"type": kind, "timestamp": now(), **fields})
