"""A client of the simulated world: it subscribes, reads as fast as it likes, is cut, and comes back."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable

from realtime import log
from realtime.events import Viewer
from realtime.exceptions import Refused
from realtime.hub import Hub
from realtime.protocol import client as messages
from realtime.protocol.delivery import as_text
from realtime.stream import Stream
from realtime.stream.timers import Timers
from realtime.testing.view import View
from tests.model_account import Account, Frame

TOPICS = {"mine", "tasks", "broadcasts"}


class Credit:
    """How many frames a client is willing to read."""

    def __init__(self) -> None:
        self._left = 0
        self._more = asyncio.Event()

    def add(self, frames: int) -> None:
        """Allow further frames."""
        self._left += frames
        self._more.set()

    async def spend(self) -> None:
        """Take one, or wait for it."""
        while not self._left:
            self._more.clear()
            await self._more.wait()
        self._left -= 1


class Client:
    """One user's program: it wants some subscriptions, keeps a view, is cut and comes back."""

    def __init__(self, loop: asyncio.AbstractEventLoop, viewer: Viewer) -> None:
        self.viewer = viewer
        self.account = Account(viewer)
        #: What it wants to watch: task ids and topics.
        self.wants: set[str] = set()
        #: It was told that a snapshot is not the whole.
        self.truncated = False
        #: As an event stream that was opened for tasks only.
        self.ends_with_tasks = False
        self.stream: Stream | None = None
        self.frames: list[Frame] = []
        self._loop = loop
        self._reading: asyncio.Task[None] | None = None
        self._credit = Credit()
        self._numbers = itertools.count(1)
        self._unanswered: set[int] = set()

    @property
    def view(self) -> View:
        """What it knows."""
        return self.account.view

    @property
    def resets(self) -> list[str]:
        """The reasons for which its cursor was given up."""
        return [reason for reason, _ in self.account.resets]

    # -- what it does -------------------------------------------------------------------------

    def connect(self, hub: Hub) -> None:
        """Come (back): resume what was acknowledged behind its cursor, the rest afresh."""
        self.cut()
        self._loop.run_until_complete(self._open_stream(hub))
        held = self.view.task_ids | self.view.topics
        if self.view.cursor is not None:
            self._post(messages.parse(self.view.resume() | {"request_id": next(self._numbers)}))
            if gone := held - self.wants - {"broadcasts"}:
                self.unsubscribe(gone)
        else:
            held = set()
            self.wants |= {"broadcasts"} if self.account.acknowledged else set()
        if missing := self.wants - held:
            self.subscribe(missing)

    def claim(self, names: set[str], back: int) -> None:
        """Begin with a cursor and subscriptions, as a rendered page does, but without its rows."""
        topics = names & TOPICS
        head = log.read_head()
        self.account.view = View(head.position - back if head else 0, (), names - topics, topics)
        self.wants |= names
        self.truncated = True

    def subscribe(self, wanted: Iterable[str]) -> None:
        """Ask for more, or again for the same."""
        self._choose(messages.Subscribe, wanted)
        self.wants |= set(wanted)

    def unsubscribe(self, gone: Iterable[str]) -> None:
        """Ask for less."""
        self._choose(messages.Unsubscribe, gone)
        self.wants -= set(gone)

    def ping(self) -> None:
        """Ask for a pong, which carries a position."""
        self._post(messages.Ping(request_id=next(self._numbers)))

    def read(self, frames: int) -> None:
        """Read so many further frames and no more."""
        self._credit.add(frames)

    def cut(self) -> None:
        """Lose the connection, and every frame that has not been read."""
        if self._reading is not None and self.stream is not None:
            self._reading.cancel()
            self.stream.close()
            self.account.end_connection()
            self._reading = self.stream = None
        self._unanswered.clear()

    @property
    def connected(self) -> bool:
        """Whether it has a connection that has not failed."""
        return self._reading is not None and not self._reading.done()

    @property
    def answered(self) -> bool:
        """Whether everything it asked on this connection has been answered."""
        return not self._unanswered

    def _choose(self, kind: type, names: Iterable[str]) -> None:
        topics = sorted(set(names) & TOPICS)
        task_ids = sorted(set(names) - set(topics))
        self._post(kind(task_ids=task_ids, topics=topics, request_id=next(self._numbers)))

    def _post(self, message: messages.ClientMessage) -> None:
        if self.stream is not None:
            self._unanswered.add(int(message.request_id or 0))
            self.stream.commands.post(message)

    async def _open_stream(self, hub: Hub) -> None:
        timers = Timers(heartbeat=2.0)
        self.stream = Stream(hub, self.viewer, as_text, timers, ends_with_tasks=self.ends_with_tasks)
        self._credit = Credit()
        self._reading = self._loop.create_task(self._read(self.stream, self._credit))

    async def _read(self, stream: Stream, credit: Credit) -> None:
        try:
            while batch := await stream.next():
                for text in batch:
                    await credit.spend()
                    self._receive(json.loads(text))
        except (Refused, ConnectionError):
            return

    def _receive(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._unanswered.discard(frame.get("request_id", 0))
        self.truncated |= frame.get("truncated", False)
        kind = frame["type"]
        if kind in ("done", "error"):
            self.wants -= {frame.get("task_id", ""), frame.get("topic", "")}
        elif kind == "unsubscribed" and frame.get("reason"):
            self.wants -= {*frame["task_ids"], *frame["topics"]}
        self.account.take(frame)
