"""Rights that change while a connection is open: noticed by internal events, and by a recheck.

Those to the project's own topics are the project's to say, and nothing tells when they change: they are asked
again and again, apart from the others, which must not wait for the project's code.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from realtime import database, grants, log, registry
from realtime.auth import identity, sessions, tokens
from realtime.events import CONNECTION_CLOSED, USER_CHANGED, Credential, LogEvent, Viewer
from realtime.exceptions import (
    DISCONNECTED,
    REVOKED,
    UNAVAILABLE,
    UNKNOWN_TOPIC,
    USER_INACTIVE,
    Problem,
    Refused,
)
from realtime.topics import Subscriptions, split

if TYPE_CHECKING:
    from realtime.chores import Attempts
    from realtime.stream.connection import Connection

logger = logging.getLogger("realtime.rights")

#: Seconds between rechecks of everybody, for the changes that send no signal. They come with a look at
#: the log, every second by default: together within five.
RECHECK_INTERVAL = 4.0
#: Users looked up in one query.
BATCH = 500
#: Seconds between looks at who may still see the project's own topics; and how many are asked at a time.
TOPICS_INTERVAL = 3.0
TOPICS_BATCH = 100
#: Seconds that one round spends on those which fail together and are asked one by one.
ALONE_BUDGET = 10.0
#: Seconds without an answer, in several rounds, after which a subscription ends: nobody says that it may be.
UNDECIDED_LIMIT = 60.0


class Found(NamedTuple):
    """What a look at some users found: those that are active, the logouts, the sessions still alive."""

    users: dict[str, Viewer]
    revoked: dict[str, float]
    sessions: set[str]

    def __repr__(self) -> str:
        # Whoever knows the key of a session has the session.
        return f"Found({len(self.users)} users, {len(self.sessions)} sessions)"


class Rights:
    """Knows the open streams by user; ends those of a user who lost a right or the account."""

    def __init__(self) -> None:
        self._streams: defaultdict[str, set[Connection]] = defaultdict(set)
        self._due: set[str] = set()
        #: When everybody was looked up last; None until the first round, before which all were let in.
        self._rechecked: float | None = None
        #: Since when nobody could say whether they may, by the loop's clock; the least lately asked first.
        self._undecided: dict[grants.Pair, float] = {}

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
        elif event.kind == CONNECTION_CLOSED:
            closed = event.data.get("connection_id")
            for stream in [*self._streams.get(event.owner, ())]:
                if stream.figures.connection_id == closed:
                    stream.refuse(Refused(DISCONNECTED))

    async def recheck(self) -> None:
        """Look up the users that changed, and every few seconds all that are connected."""
        moment = asyncio.get_running_loop().time()
        if self._rechecked is None:
            self._rechecked = moment
        elif moment - self._rechecked >= RECHECK_INTERVAL:
            self._rechecked = moment
            self._due.update(self._streams)
        due, self._due = [u for u in self._due if u in self._streams], set()
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            keys = [key for user_id in batch for key in self._session_keys(user_id)]
            try:
                found = await database.run(look_up, batch, keys)
            except Exception:
                self._due.update(batch)
                raise
            for user_id in batch:
                self._apply(user_id, found)

    async def recheck_topics(self) -> None:
        """Ask the project whether who is subscribed to its topics still may be; end what may not.

        What fails keeps nobody else from being asked for: topics of one name are asked together, those that
        failed in the last round one by one and last. A subscription that nobody could answer for in
        :data:`UNDECIDED_LIMIT` seconds ends. Raises what the log's own database raises: while that is away
        no event is told, and nobody is thrown off.
        """
        if not registry.registered:
            return
        pairs = {pair for stream in self._all() for pair in _pairs(stream)}
        self._undecided = {pair: since for pair, since in self._undecided.items() if pair in pairs}
        by_name: defaultdict[str, list[grants.Pair]] = defaultdict(list)
        for pair in pairs - self._undecided.keys():
            by_name[split(pair[1])[0]].append(pair)
        failing = {split(topic)[0] for _, topic in self._undecided}
        for name in sorted(by_name, key=failing.__contains__):
            for start in range(0, len(by_name[name]), TOPICS_BATCH):
                if not await self._ask(by_name[name][start : start + TOPICS_BATCH]):
                    # A database that does not answer is not waited for again and again.
                    now = asyncio.get_running_loop().time()
                    self._undecided.update(dict.fromkeys(by_name[name][start:], now))
                    break
        await self._ask_alone()

    async def _ask_alone(self) -> None:
        """Ask for each that failed; end those that have failed for too long."""
        clock = asyncio.get_running_loop().time
        end = clock() + ALONE_BUDGET
        for pair, since in [*self._undecided.items()]:
            if clock() >= end:
                break
            del self._undecided[pair]
            # Its batch has been complained of: no more of that every few seconds.
            if not await self._ask([pair], logging.DEBUG):
                self._undecided[pair] = since
        lost = {pair for pair, since in self._undecided.items() if clock() - since >= UNDECIDED_LIMIT}
        if lost:
            names = ", ".join(sorted({split(topic)[0] for _, topic in lost}))
            logger.error("Nobody could say who may see %s: %d subscriptions end.", names, len(lost))
            self._end(lost, UNAVAILABLE)

    async def _ask(self, pairs: Collection[grants.Pair], level: int = logging.WARNING) -> bool:
        """Ask for some at once, and end what may not be; tell whether there was an answer."""
        try:
            granted = await database.run(grants.granted, pairs)
        except Exception as error:
            try:
                await database.run(log.position)
            except Exception:
                self._undecided.clear()
                raise
            names = ", ".join(sorted({split(topic)[0] for _, topic in pairs}))
            logger.log(level, "Who may see %s cannot be asked for: %r", names, error)
            return False
        self._end({*pairs} - granted, UNKNOWN_TOPIC)
        return True

    def _end(self, gone: set[grants.Pair], problem: Problem) -> None:
        """End subscriptions, and say why."""
        for user_id in {user_id for user_id, _ in gone}:
            for stream in [*self._streams.get(user_id, ())]:
                topics = [pair[1] for pair in _pairs(stream) if pair in gone]
                if topics and not stream.ended:
                    stream.drop(Subscriptions((), topics), reason=problem.code)

    async def watch_topics(self, attempts: Attempts) -> None:
        """Recheck the topics every ``TOPICS_INTERVAL`` seconds, for ever."""
        while True:
            await asyncio.sleep(TOPICS_INTERVAL)
            await attempts.make("The rights to topics cannot be asked for", self.recheck_topics())

    def _all(self) -> Iterator[Connection]:
        return chain.from_iterable(self._streams.values())

    def _session_keys(self, user_id: str) -> set[str]:
        credentials = {stream.viewer.credential for stream in self._streams.get(user_id, ())}
        return {c.session for c in credentials if c is not None and c.session}

    def _apply(self, user_id: str, found: Found) -> None:
        now = found.users.get(user_id)
        for stream in [*self._streams.get(user_id, ())]:
            was = stream.viewer
            if now is None:
                stream.refuse(Refused(USER_INACTIVE))
            elif was.credential is not None and not _holds(was.credential, user_id, now, found):
                stream.refuse(Refused(REVOKED))
            elif (was.view_all, was.staff, was.groups) != (now.view_all, now.staff, now.groups):
                stream.see_as(
                    msgspec.structs.replace(now, credential=was.credential, expires_at=was.expires_at)
                )


def _holds(credential: Credential, user_id: str, now: Viewer, found: Found) -> bool:
    """Tell whether the credential with which somebody came in would still open the door."""
    if now.credential is not None and credential.password != now.credential.password:
        return False
    if credential.kind == sessions.KIND:
        return credential.session in found.sessions
    return credential.issued_at > found.revoked.get(user_id, float("-inf"))


def _pairs(stream: Connection) -> list[grants.Pair]:
    return [(stream.viewer.user_id, topic) for topic in stream.subscriptions.own]


def look_up(user_ids: list[str], session_keys: Collection[str]) -> Found:
    """Look at users, their logouts and their sessions, each with one query or a few."""
    return Found(
        identity.load_active(user_ids),
        tokens.load_revocations(user_ids),
        sessions.alive(session_keys) if session_keys else set(),
    )
