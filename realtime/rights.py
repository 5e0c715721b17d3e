"""Rights that change while a connection is open: noticed by internal events, and by a recheck."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings
from django.contrib.auth import get_user_model

from realtime import database
from realtime.events import USER_CHANGED, LogEvent
from realtime.exceptions import USER_INACTIVE, Refused
from realtime.permissions import VIEW_ALL, may_view_all

if TYPE_CHECKING:
    from realtime.stream.connection import Connection

logger = logging.getLogger("realtime.rights")

#: Seconds between rechecks of everybody, for the changes that send no signal.
RECHECK_INTERVAL = 5.0
#: Users looked up in one query.
BATCH = 500
#: The backend whose permissions can be asked for many users in one query.
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


class Rights:
    """Knows the open streams by user; ends those of a user who lost a right or the account."""

    def __init__(self) -> None:
        self._streams: defaultdict[str, set[Connection]] = defaultdict(set)
        self._due: set[str] = set()
        self._rechecked = float("-inf")

    def add(self, stream: Connection) -> None:
        """Watch over a stream."""
        self._streams[stream.viewer.user_id].add(stream)

    def remove(self, stream: Connection) -> None:
        """Watch over it no longer; safe to call twice."""
        streams = self._streams.get(stream.viewer.user_id)
        if streams is not None:
            streams.discard(stream)
            if not streams:
                del self._streams[stream.viewer.user_id]

    def note(self, event: LogEvent) -> None:
        """Take an internal event of the log."""
        if event.kind == USER_CHANGED:
            self._due.update([event.owner] if event.owner else self._streams)

    async def recheck(self) -> None:
        """Look up the users that changed, and every few seconds all that are connected."""
        moment = asyncio.get_running_loop().time()
        if moment - self._rechecked >= RECHECK_INTERVAL:
            self._rechecked = moment
            self._due.update(self._streams)
        due, self._due = [u for u in self._due if u in self._streams], set()
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            try:
                seers = await database.run(load_rights, batch)
            except Exception:
                self._due.update(batch)
                raise
            for user_id in batch:
                self._apply(user_id, seers)

    def _apply(self, user_id: str, seers: dict[str, bool]) -> None:
        for stream in [*self._streams.get(user_id, ())]:
            if user_id not in seers:
                stream.refuse(Refused(USER_INACTIVE))
            elif stream.viewer.view_all != seers[user_id]:
                stream.see_as(msgspec.structs.replace(stream.viewer, view_all=seers[user_id]))


def load_rights(user_ids: Collection[str]) -> dict[str, bool]:
    """Return the active users among ``user_ids``, and whether each may view all tasks."""
    # Asked of the object: a project's own user model may have no such column.
    users = [u for u in get_user_model()._default_manager.filter(pk__in=user_ids) if u.is_active]
    if settings.AUTHENTICATION_BACKENDS != [MODEL_BACKEND]:
        return {str(user.pk): may_view_all(user) for user in users}
    everything = set(
        get_user_model()
        ._default_manager.with_perm(VIEW_ALL, backend=MODEL_BACKEND)
        .filter(pk__in=user_ids)
        .values_list("pk", flat=True)
    )
    return {str(user.pk): user.pk in everything for user in users}
