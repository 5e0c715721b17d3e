"""The hub's memory of the latest events, so that clients that come back rarely need the database."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from realtime.protocol.delivery import Delivery


class Ring:
    """Consecutive events ``start < position <= end``, bounded in number and bytes, found by key."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._all: deque[Delivery] = deque()
        self._by_key: defaultdict[str, deque[Delivery]] = defaultdict(deque)
        self._bytes = 0
        self.start = self.end = 0

    def __len__(self) -> int:
        return len(self._all)

    def restart(self, position: int) -> None:
        """Forget everything; the next event is the one after ``position``."""
        self._all.clear()
        self._by_key.clear()
        self._bytes = 0
        self.start = self.end = position

    def push(self, delivery: Delivery) -> None:
        """Add the event after ``end``, and let the oldest go while there are too many."""
        self.end = delivery.position
        self._all.append(delivery)
        self._bytes += delivery.size
        for key in delivery.keys:
            self._by_key[key].append(delivery)
        while len(self._all) > self._max_events or self._bytes > self._max_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._all.popleft()
        self.start = oldest.position
        self._bytes -= oldest.size
        for key in oldest.keys:
            queue = self._by_key[key]
            queue.popleft()
            if not queue:
                del self._by_key[key]

    def after(self, cursor: int, keys: Iterable[str]) -> list[Delivery] | None:
        """Return the events after ``cursor`` that match a key, in order; None if some may be gone.

        Costs what it returns, not the size of the ring.
        """
        if cursor < self.start:
            return None
        found: dict[int, Delivery] = {}
        for key in keys:
            for delivery in reversed(self._by_key.get(key, ())):
                if delivery.position <= cursor:
                    break
                found[delivery.position] = delivery
        return [found[position] for position in sorted(found)]
