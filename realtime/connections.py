"""The open connections of a process: counted for the metrics, and written down for operators.

Who comes or goes waits for nothing here. Every ``CONNECTIONS_INTERVAL`` the rows of those that changed are
written, in batches; a quiet client costs nothing, for it is its node's lease that says it is still there.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from django.db import connections as databases
from django.utils import timezone

from realtime import database, log, metrics
from realtime.addresses import UNKNOWN
from realtime.chores import Attempts
from realtime.conf import conf
from realtime.models.connection import Connection as Row

if TYPE_CHECKING:
    from realtime.stream.connection import Connection

#: Connections looked at before others have their turn, and rows written by one statement.
BATCH = 500
#: Rounds after which figures alone (frames sent, round trips) are worth writing.
ROUNDS = 12
#: Rows to delete that are remembered; of more, all of this node are written anew.
GONE_LIMIT = 10_000
#: Seconds that a write waits for one before it that was given up.
PATIENCE = 1.0


class Caller(NamedTuple):
    """How a client has come: over what, speaking what, from where."""

    transport: str = metrics.WEBSOCKET
    format: str = "json"
    address: str = UNKNOWN


UNKNOWN_CALLER = Caller()


class _Known:
    """What is remembered of an open connection."""

    __slots__ = ("counted", "figures", "overflows", "since", "state", "written_at")

    def __init__(self) -> None:
        self.since = timezone.now()
        #: Frames and overflows that the metrics have.
        self.counted = self.overflows = 0
        #: What its row holds, and since when, by the loop's clock; None while nothing was written.
        self.state: tuple[Any, ...] | None = None
        self.figures: tuple[int, int] = (0, 0)
        self.written_at = 0.0


class Connections:
    """The open connections of one hub."""

    def __init__(self, node_id: uuid.UUID, using: str | None = None) -> None:
        self._node_id = node_id
        self._using = using
        self._known: dict[Connection, _Known] = {}
        #: Of those that have left, the rows that may be there.
        self._gone: set[str] = set()
        #: What the database holds of this node is not known.
        self._anew = False
        self._left = False
        self._writing = asyncio.Lock()
        #: A write whose caller has given it up may still be under way.
        self._one = threading.Lock()

    def add(self, stream: Connection) -> None:
        """Know a connection from now on."""
        self._known[stream] = _Known()
        metrics.OPENED.labels(stream.caller.transport).inc()
        metrics.OPEN.labels(stream.caller.transport).inc()

    def remove(self, stream: Connection) -> None:
        """Know it no longer; safe to call twice."""
        known = self._known.pop(stream, None)
        if known is None:
            return
        self._count([(stream, known)])
        metrics.OPEN.labels(stream.caller.transport).dec()
        if known.state is not None:
            self._gone.add(stream.figures.connection_id)
            if len(self._gone) > GONE_LIMIT:
                self._gone.clear()
                self.write_anew()

    # -- counting -----------------------------------------------------------------------------

    def count(self) -> None:
        """Add to the metrics what the open connections have been sent since the last time."""
        self._count(list(self._known.items()))

    def _count(self, those: list[tuple[Connection, _Known]]) -> None:
        frames: dict[str, int] = {}
        overflows: dict[str, int] = {}
        for stream, known in those:
            transport, sent, over = stream.caller.transport, stream.figures.sent, stream.subscriber.overflows
            frames[transport] = frames.get(transport, 0) + sent - known.counted
            overflows[transport] = overflows.get(transport, 0) + over - known.overflows
            known.counted, known.overflows = sent, over
        for transport, number in frames.items():
            metrics.FRAMES_SENT.labels(transport).inc(number)
            metrics.OVERFLOWS.labels(transport).inc(overflows[transport])

    # -- writing ------------------------------------------------------------------------------

    def write_anew(self) -> None:
        """Take nothing in the database for granted: others may have swept it. From any thread."""
        self._anew = True

    async def stay(self) -> None:
        """Write down what changed, again and again."""
        attempts = Attempts()
        while True:
            await asyncio.sleep(conf.CONNECTIONS_INTERVAL)
            await attempts.make("The connections could not be written down", self.write())

    async def leave(self) -> None:
        """Write nothing more, and remove this node's rows. Raises what the database raises."""
        self._left = True
        async with self._writing:
            await database.run_now(self._alone, self._clear)

    async def write(self) -> None:
        """Write down what changed since the last time. Raises what the database raises.

        After a failure everything is written anew: what arrived is not known. So nothing has to be
        remembered while the database is away. Nothing here takes a turn: those are the clients'.
        """
        async with self._writing:
            if self._left:
                return
            anew, self._anew = self._anew, False
            gone, self._gone = list(self._gone), set()
            try:
                if anew:
                    await database.run_now(self._alone, self._clear)
                for start in range(0, 0 if anew else len(gone), BATCH):
                    await database.run_now(self._alone, self._delete, gone[start : start + BATCH])
                await self._write_changed(anew)
            except BaseException:
                self._anew = True
                raise

    async def _write_changed(self, anew: bool) -> None:
        rows: list[dict[str, Any]] = []
        open_now = list(self._known)
        for start in range(0, len(open_now), BATCH):
            if start:
                # Thousands at once would be felt by those who wait for an event.
                await asyncio.sleep(0)
            for stream in open_now[start : start + BATCH]:
                if (row := self._changed(stream, anew)) is not None:
                    rows.append(row)
            if len(rows) >= BATCH:
                await database.run_now(self._alone, self._save, rows[:BATCH])
                del rows[:BATCH]
        if rows:
            await database.run_now(self._alone, self._save, rows)

    def _changed(self, stream: Connection, anew: bool) -> dict[str, Any] | None:
        """Return what to write of a connection, or None.

        What it watches and whether it keeps up is written at once; figures alone move with every ping,
        and wait for some rounds.
        """
        known = self._known.get(stream)
        if known is None:
            return None
        watched, figures = stream.subscriptions, stream.figures
        topics, overflows = tuple(watched.topics), stream.subscriber.overflows
        state = (len(watched.task_ids), topics, not stream.caught_up, overflows)
        moved = (figures.sent, figures.rtt_count)
        clock = asyncio.get_running_loop().time()
        if not anew and state == known.state:
            age = clock - known.written_at
            if moved == known.figures or age < ROUNDS * conf.CONNECTIONS_INTERVAL:
                return None
        known.state, known.figures, known.written_at = state, moved, clock
        caller = stream.caller
        return {
            "id": figures.connection_id,
            "node_id": self._node_id.hex,
            "user_id": stream.viewer.user_id,
            "transport": caller.transport,
            "format": caller.format,
            "address": caller.address[:64],
            "since": known.since,
            "tasks": state[0],
            "topics": list(topics),
            "position": stream.cursor,
            "sent": figures.sent,
            "behind": state[2],
            "overflows": overflows,
            "rtt_last_ms": figures.rtt_last,
            "rtt_mean_ms": figures.rtt_mean,
        }

    # -- in the database's threads ------------------------------------------------------------

    def _alone(self, work: Callable[..., None], *args: Any) -> None:
        """Do one write at a time: a later one must not be overtaken by one that hung."""
        if not self._one.acquire(timeout=PATIENCE):
            raise TimeoutError("the last write is still under way")
        try:
            work(*args)
        finally:
            self._one.release()

    def _save(self, rows: list[dict[str, Any]]) -> None:
        using, now = self._using or log.database(), timezone.now()
        connection = databases[using]
        adapt = connection.ops.adapt_datetimefield_value
        for row in rows:
            row["since"], row["seen_at"] = adapt(row["since"]), adapt(now)
        with connection.cursor() as cursor:
            cursor.execute(upsert(connection), [msgspec.json.encode(rows).decode()])

    def _delete(self, ids: list[str]) -> None:
        Row.objects.using(self._using or log.database()).filter(pk__in=ids).delete()

    def _clear(self) -> None:
        mine = Row.objects.using(self._using or log.database()).filter(node_id=self._node_id)
        # Asked first: a DELETE of nothing takes SQLite's write lock too.
        if mine.exists():
            mine.delete()


def upsert(connection: Any) -> str:
    """Return the statement that writes rows, given as one parameter: a JSON array of objects.

    A parameter for each value would take ten times as long, and the loop's thread waits for that.
    """
    fields = Row._meta.concrete_fields
    names = [str(field.column) for field in fields]
    if connection.vendor == "sqlite":
        values = ", ".join(f"json_extract(value, '$.{name}')" for name in names)
        # Without a condition SQLite takes ON for that of a join.
        source = f"SELECT {values} FROM json_each(%s) WHERE true"  # noqa: S608
    else:
        types = ", ".join(f"{field.column} {field.db_type(connection)}" for field in fields)
        source = f"SELECT {', '.join(names)} FROM jsonb_to_recordset(%s) AS given ({types})"  # noqa: S608
    replaced = ", ".join(f"{name} = EXCLUDED.{name}" for name in names if name != "id")
    table = f"{Row._meta.db_table} ({', '.join(names)})"
    return f"INSERT INTO {table} {source} ON CONFLICT (id) DO UPDATE SET {replaced}"
