"""A client of a server that never makes us wait: what it has read is known by the pings it answers."""

from __future__ import annotations

from realtime.hub import Hub
from realtime.stream.window import PARTS
from tests.kit.waiting import aeventually
from tests.peers import Frame, Peer
from tests.watching import event

#: The setting `WRITE_WINDOW` of its tests.
WINDOW = 40_000


class Answering:
    """A client that reads everything its server holds for it, and answers pings when it is told to."""

    def __init__(self, hub: Hub, peer: Peer, owner: str) -> None:
        self.hub, self.peer, self._owner = hub, peer, owner
        self._answered = 0
        (self.subscriber,) = hub.directory.subscribers
        self.begin = hub.position

    def publish(self, count: int, size: int = 1000) -> None:
        """Let events of that size come."""
        for _ in range(count):
            self.hub.receive([event(self.hub.position + 1, self._owner, "x" * size)])

    @property
    def pings(self) -> list[Frame]:
        """The pings that have not been answered."""
        return [frame for frame in self.peer.frames if frame["type"] == "ping"][self._answered :]

    @property
    def positions(self) -> list[int]:
        """The positions of the events that were written to it."""
        return [frame["id"] for frame in self.peer.frames if frame["type"] == "task_update"]

    @property
    def written(self) -> int:
        """The bytes that were written to it."""
        return sum(len(message["text"]) for message in self.peer.sent if "text" in message)

    @property
    def everything(self) -> list[int]:
        """The positions of all events there were."""
        return list(range(self.begin + 1, self.hub.position + 1))

    def answer(self, pings: list[Frame]) -> None:
        """Answer these pings."""
        self._answered += len(pings)
        for ping in pings:
            self.peer.say(action="pong", t=ping["t"])

    async def learn(self) -> None:
        """Answer the first ping, after which the server relies on it."""
        self.publish(1 + WINDOW // PARTS // 1000)
        await aeventually(lambda: self.pings)
        self.answer(self.pings)
        await aeventually(lambda: self.peer.unread == 0)

    async def stop_reading(self) -> None:
        """Let much more come than the window holds, and wait until nothing more is written."""
        self.publish(3 * WINDOW // 1000)
        await aeventually(lambda: self.subscriber.behind and self.pings)

    async def catch_up(self) -> None:
        """Answer every ping until all events have come."""

        def caught_up() -> bool:
            self.answer(self.pings)
            return self.positions[-1:] == self.everything[-1:]

        await aeventually(caught_up)
