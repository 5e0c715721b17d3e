"""How far a client may be behind with reading, told by the pings it answers, on any server."""

from __future__ import annotations

import asyncio

NEVER = float("inf")
#: Pings in each window: a client is given up that reads less than one such part in its time.
PARTS = 8
#: Pings in flight that are remembered, of a client that answers them and of one that may never do so.
REMEMBERED, REMEMBERED_AT_FIRST = 4 * PARTS, 2


class Window:
    """Bytes written to one client and not known to be read; over ``size`` nothing more is written.

    The bytes before a ping have been read when its pong comes. That holds whatever the server buffers, and
    whatever the kernels on the way do. It binds only clients that have answered a ping on this connection;
    a ``size`` of 0 binds nobody.
    """

    __slots__ = (
        "_clock",
        "_last_t",
        "_marked",
        "_patience",
        "_pings",
        "_read",
        "_size",
        "answers",
        "give_up_at",
        "mark",
        "shut",
        "written",
    )

    def __init__(self, size: int = 0, patience: float = NEVER) -> None:
        self._size, self._patience = size, patience
        self._clock = asyncio.get_running_loop().time
        #: Bytes written so far; at ``mark`` its writer calls :meth:`reached`.
        self.written = 0
        self.mark: float = size // PARTS if size else NEVER
        #: Nothing may be written before the client has read more.
        self.shut = False
        #: When to end a client that reads nothing while the window is shut; else never.
        self.give_up_at = NEVER
        #: Whether the client has answered a ping, and so can be held to it.
        self.answers = False
        self._read = self._marked = 0
        #: Pings in flight, by their ``t``: when they were sent, and what had been written before them.
        self._pings: dict[object, tuple[float, int]] = {}
        self._last_t = 0.0

    @property
    def untold(self) -> bool:
        """Whether something was written after the last ping, so that no pong will tell of it."""
        return self.written > self._marked

    def reached(self) -> bool:
        """Shut the window if it is full; False says that a ping is due instead."""
        if not self.answers or self.written - self._read < self._size:
            return False
        self.shut, self.mark, self.give_up_at = True, NEVER, self._clock() + self._patience
        return True

    def ping(self) -> float:
        """Note that a ping is sent after all that was written, and return its ``t``."""
        moment = self._clock()
        # The clock may be coarse: no two pings look the same.
        self._last_t = t = max(moment, self._last_t + 0.000_001)
        while len(self._pings) >= (REMEMBERED if self.answers else REMEMBERED_AT_FIRST):
            del self._pings[next(iter(self._pings))]
        self._pings[t] = moment, self.written
        self._marked = self.written
        self._set_mark()
        return t

    def in_flight(self, t: object) -> bool:
        """Whether a ping with that ``t`` waits for its answer."""
        return t in self._pings

    def answered(self, t: object) -> float | None:
        """Take a pong: return the seconds it took, or None if no ping with that ``t`` is in flight."""
        ping = self._pings.pop(t, None)
        if ping is None:
            return None
        sent_at, before = ping
        self.answers, moment = True, self._clock()
        if before > self._read:
            self._read = before
            if self.shut:
                self.give_up_at = moment + self._patience
        # Only half of it: whoever goes on goes back to the ring or the log, and is to come away with much.
        if self.shut and self.written - self._read <= self._size // 2:
            self.shut, self.give_up_at = False, NEVER
        self._set_mark()
        return moment - sent_at

    def _set_mark(self) -> None:
        """Find what comes first: the next ping, or the end of the window."""
        if not self._size or self.shut or not self.answers:
            # Who has not answered one ping need not be asked by a second.
            self.mark = NEVER
        else:
            self.mark = min(self._marked + self._size // PARTS, self._read + self._size)
