"""The hub's memory of the latest events, so that clients that come back rarely need the database."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter

from realtime.protocol.delivery import Delivery

_position = attrgetter("position")


class _Lane:
    """Events of one key in order: found by position, dropped at the front."""

    __slots__ = ("_first", "_items")

    def __init__(self) -> None:
        self._items: list[Delivery] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._items) - self._first

    def push(self, delivery: Delivery) -> None:
        self._items.append(delivery)

    def drop(self) -> Delivery:
        oldest = self._items[self._first]
        self._first += 1
        # The dropped half goes at once: each event is moved once for each that goes.
        if self._first * 2 > len(self._items):
            del self._items[: self._first]
            self._first = 0
        return oldest

    def index_after(self, cursor: int) -> int:
        return bisect_right(self._items, cursor, lo=self._first, key=_position)

    def after(self, cursor: int, limit: int) -> list[Delivery]:
        index = self.index_after(cursor)
        return self._items[index : index + limit]

    def count_after(self, cursor: int) -> int:
        return len(self._items) - self.index_after(cursor)


class Ring:
    """Consecutive events ``start < position <= end``, bounded in number and bytes, found by key."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._all = _Lane()
        self._by_key: dict[str, _Lane] = {}
        self._bytes = 0
        self.start = self.end = 0

    def __len__(self) -> int:
        return len(self._all)

    def restart(self, position: int) -> None:
        """Forget everything; the next event is the one after ``position``."""
        self._all = _Lane()
        self._by_key.clear()
        self._bytes = 0
        self.start = self.end = position

    def push(self, delivery: Delivery) -> None:
        """Add the event after ``end``, and let the oldest go while there are too many."""
        self.end = delivery.position
        self._all.push(delivery)
        self._bytes += delivery.size
        for key in delivery.keys:
            lane = self._by_key.get(key)
            if lane is None:
                lane = self._by_key[key] = _Lane()
            lane.push(delivery)
        while len(self._all) > self._max_events or self._bytes > self._max_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._all.drop()
        self.start = oldest.position
        self._bytes -= oldest.size
        for key in oldest.keys:
            lane = self._by_key[key]
            lane.drop()
            if not len(lane):
                del self._by_key[key]

    def after(self, cursor: int, keys: Iterable[str], limit: int = sys.maxsize) -> list[Delivery] | None:
        """Return the events after ``cursor`` that match a key, in order, at most ``limit``.

        None if some of them may be gone. Costs what it returns, not the size of the ring.
        """
        if cursor < self.start:
            return None
        found = [lane.after(cursor, limit) for key in keys if (lane := self._by_key.get(key))]
        if len(found) == 1:
            return found[0]
        once = {delivery.position: delivery for events in found for delivery in events}
        return [once[position] for position in sorted(once)[:limit]]

    def count_after(self, cursor: int, keys: Iterable[str]) -> int:
        """Return how many events after ``cursor`` match a key, one that matches several counted so."""
        return sum(lane.count_after(cursor) for key in keys if (lane := self._by_key.get(key)))
