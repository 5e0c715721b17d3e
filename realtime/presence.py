"""A process's sign of life, and its reports of whom a broadcast reached."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable
from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from realtime import database, log
from realtime.broadcasts import LEASE, report_reach
from realtime.chores import Attempts
from realtime.models import Connection, Node, Reach

logger = logging.getLogger("realtime.presence")

#: Seconds between signs of life: three of them fit a lease.
INTERVAL = LEASE / 3
#: Broadcasts whose reach waits to be told; of more it stays unknown.
UNTOLD = 1000
#: How long reports are kept.
KEEP = timedelta(days=1)


class Presence:
    """The ``Node`` row of one hub: a lease, since nothing may depend on a clean end."""

    def __init__(self, using: str | None = None) -> None:
        self.id = uuid.uuid4()
        self._using = using
        self._left = False
        self._untold: dict[str, int] = {}
        self._noted = asyncio.Event()
        #: Called, in whichever thread, when this process had been taken for dead.
        self.on_return: Callable[[], None] = lambda: None
        self._joined = False

    async def join(self) -> None:
        """Say that this process lives. Raises what the database raises."""
        await database.run_now(self._beat)

    async def stay(self) -> None:
        """Say so again and again, and sweep those who do not any more."""
        attempts = Attempts()
        while True:
            await asyncio.sleep(INTERVAL)
            beat = database.run_now(self._beat)
            await attempts.make("This process's sign of life could not be written", beat)

    async def leave(self) -> None:
        """Say that it lives no more; where that cannot be said, the lease ends."""
        self._left = True
        try:
            await database.run_now(self._remove)
        except Exception:
            logger.debug("The node could not be removed.", exc_info=True)

    def note(self, broadcast_id: str, connections: int) -> None:
        """Remember how many connections a broadcast was handed to; :meth:`tell` reports it."""
        if len(self._untold) < UNTOLD:
            self._untold[broadcast_id] = connections
            self._noted.set()

    async def tell(self) -> None:
        """Report, one after the other, whom the broadcasts reached. One that cannot be is incomplete."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            while self._untold:
                broadcast_id, connections = self._untold.popitem()
                try:
                    await database.run_now(self._report, broadcast_id, connections)
                except Exception as error:
                    logger.warning("The reach of broadcast %s could not be told: %r", broadcast_id, error)

    def _beat(self) -> None:
        if self._left:
            return
        using = self._using or log.database()
        nodes = Node.objects.using(using)
        # By the database's clock: that of a host that is ahead would end everybody's lease.
        if not nodes.filter(pk=self.id).update(seen_at=Now()):
            nodes.create(
                id=self.id, host=socket.gethostname(), pid=os.getpid(), started_at=Now(), seen_at=Now()
            )
            if self._joined:
                self.on_return()
        self._joined = True
        gone = nodes.filter(seen_at__lt=Now() - timedelta(seconds=LEASE))
        old = Reach.objects.using(using).filter(created_at__lt=timezone.now() - KEEP)
        # Of the nodes that went just now, and of those that nobody was left to sweep.
        lost = Connection.objects.using(using).filter(~Exists(nodes.filter(pk=OuterRef("node_id"))))
        for rows in (gone.order_by(), lost.order_by(), old.order_by()):
            # Asked first: a DELETE of nothing takes SQLite's write lock too.
            if rows.exists():
                rows.delete()

    def _remove(self) -> None:
        Node.objects.using(self._using or log.database()).filter(pk=self.id).delete()

    def _report(self, broadcast_id: str, connections: int) -> None:
        using = self._using or log.database()
        report_reach(uuid.UUID(broadcast_id), self.id, connections, using)
