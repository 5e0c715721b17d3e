"""When a quiet stream speaks: heartbeats, comments, pings; and when it must end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from realtime import sse
from realtime.events import now
from realtime.protocol import server
from realtime.stream.window import NEVER, Window

if TYPE_CHECKING:
    from realtime.stream.connection import Connection


class Timers:
    """One timer per stream, armed for what is due first and looked at only when it rings.

    A delivery notes its time and touches no timer: re-arming one per message would cost more than the
    message.
    """

    def __init__(
        self,
        *,
        heartbeat: float = NEVER,
        comment: float = NEVER,
        ping: float = NEVER,
        pong_timeout: float = NEVER,
        max_age: float = NEVER,
        window: Window | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pong_timeout = pong_timeout
        begin = self._loop.time()
        self._heartbeat, self._comment, self._ping = heartbeat, comment, ping
        self._last_event = self._last_heartbeat = self._last_comment = self._last_ping = begin
        # Spread, so that the streams opened together after a deploy do not end together.
        self._end = begin + max_age * random.uniform(0.9, 1)
        self._handle: asyncio.TimerHandle | None = None
        self._wake: Callable[[], None] = lambda: None
        self._expires_at: float | None = None
        #: What the client has not read yet; it knows the pings that are in flight.
        self.window = window or Window()
        #: When the client last answered a ping, or None: many never do, and may stay.
        self._last_answer: float | None = None
        #: Something is due: the stream must look.
        self.rung = False

    @property
    def heartbeat_interval(self) -> float:
        """Seconds after which a client that heard nothing may give this connection up."""
        return min(self._heartbeat, self._ping)

    def start(self, wake: Callable[[], None], expires_at: float | None) -> None:
        """Call ``wake`` whenever something is due; ``expires_at`` is the credential's, in Unix time."""
        self._wake = wake
        self.expire_at(expires_at)

    def look_again(self) -> None:
        """Ring when the window has been shut for too long."""
        self._arm()

    def stop(self) -> None:
        """Ring no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def expire_at(self, moment: float | None) -> None:
        """Ring when the credential ends, in Unix time; None is never."""
        self._expires_at = moment
        self._arm()

    def sent_event(self) -> None:
        """A task or broadcast event was sent: only these put the heartbeats off."""
        self._last_event = self._loop.time()

    def answered(self, t: object) -> float | None:
        """Return the milliseconds since the ping that carried ``t``; None if none of ours awaits it."""
        self._last_answer = self._loop.time()
        rtt = self.window.answered(t)
        return None if rtt is None else rtt * 1000

    def _silent_since(self) -> float:
        """Return when a client that used to answer pings must be given up; never for others."""
        if self._last_answer is None:
            return NEVER
        return min(self._last_answer + self._pong_timeout, self.window.give_up_at)

    @staticmethod
    def wall() -> float:
        """Return the Unix time, in which credentials expire."""
        return time.time()

    def gone_silent(self) -> bool:
        """Whether a client that used to answer pings has not done so for too long.

        That is ``PONG_TIMEOUT``, and ``SEND_TIMEOUT`` when the window is shut.
        """
        return self._loop.time() >= self._silent_since()

    def too_old(self) -> bool:
        """Whether the stream has lived its time."""
        return self._loop.time() >= self._end

    def due(self, stream: Connection) -> Iterator[server.Frame | bytes]:
        """Yield what must be sent now, and arm the timer for what comes next."""
        self.rung = False
        moment = self._loop.time()
        if moment >= max(self._last_event, self._last_comment) + self._comment:
            self._last_comment = moment
            yield sse.COMMENT
        if moment >= max(self._last_event, self._last_heartbeat) + self._heartbeat:
            self._last_heartbeat = moment
            stream.advance()
            yield server.Heartbeat(timestamp=now(), id=stream.id, t=time.time())
        if moment >= self._last_ping + self._ping:
            self._last_ping = moment
            stream.advance()
            yield stream.ping()
        self._arm()

    def _arm(self) -> None:
        self.stop()
        when = min(
            max(self._last_event, self._last_comment) + self._comment,
            max(self._last_event, self._last_heartbeat) + self._heartbeat,
            self._last_ping + self._ping,
            self._silent_since(),
            self._end,
        )
        if self._expires_at is not None:
            when = min(when, self._loop.time() + max(0.0, self._expires_at - self.wall()))
        if when < NEVER:
            # Never in the past: a clock that steps must not make this spin.
            self._handle = self._loop.call_at(max(when, self._loop.time() + 0.001), self._ring)

    def _ring(self) -> None:
        self.rung = True
        self._wake()
