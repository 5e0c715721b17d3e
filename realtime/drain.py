"""The end of a server process: its clients are sent elsewhere, a few at a time, before the server stops.

Servers install their signal handlers before they serve; ours takes their place when the first client
comes, and calls theirs when the clients have gone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from realtime.conf import conf
from realtime.limits import places

logger = logging.getLogger("realtime.drain")

Handler = Callable[[int, FrameType | None], Any]
#: Tells the others that this process is going.
Leave = Callable[[], Awaitable[None]]

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Seconds between two clients at most: few are sent away soon, many are spread over ``DRAIN_SECONDS``.
PAUSE = 0.05
#: The part of ``DRAIN_SECONDS`` in which clients are told; in the rest the last of them hang up.
TELLING = 0.8
#: Seconds in which closing handshakes and last chunks are exchanged before the server drops the lines.
GRACE = 0.2


class Drain:
    """A handler of the signals that end a server, in front of the server's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, leave: Leave) -> None:
        self.loop, self.leave = loop, leave
        self._own: dict[int, Handler] = {}
        self._work: asyncio.Task[None] | None = None
        self._passed = False

    def install(self) -> None:
        """Take over the signals that the server handles. Only the main thread may."""
        for number in SIGNALS:
            own = signal.getsignal(number)
            if callable(own):
                self._own[number] = own
                signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Drain, then let the server end; a second signal ends the server at once."""
        if conf.DRAIN_SECONDS <= 0 or places.closing or not self.loop.is_running():
            self._pass_on(number, frame)
            return
        places.closing = True
        # Within a handler nothing of the loop may be touched but this.
        self.loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self._work = self.loop.create_task(self._drain(number))

    async def _drain(self, number: int) -> None:
        try:
            async with asyncio.timeout(conf.DRAIN_SECONDS):
                await send_everybody_away(conf.DRAIN_SECONDS * TELLING)
                await self.leave()
        except TimeoutError:
            if places.open:
                logger.warning("%d clients were still connected at the end.", len(places.open))
            else:
                # Its lease ends by itself: nothing that anybody must do.
                logger.warning("The clients have gone; the database did not take that this process ends.")
        except Exception:
            logger.exception("The clients could not be sent away.")
        finally:
            # A second signal has done so already; uvicorn takes another one as an order to drop everything.
            if not self._passed:
                self._pass_on(number, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Let the server's own handler do what it does."""
        self._passed = True
        self._own[number](number, frame)


async def send_everybody_away(seconds: float) -> None:
    """Tell every client, in random order, within ``seconds``; return when all have gone."""
    everybody = [*places.open]
    random.shuffle(everybody)
    logger.info("Sending %d clients elsewhere.", len(everybody))
    pause = min(PAUSE, seconds / max(1, len(everybody)))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for turn, place in enumerate(everybody):
        # A sleep takes longer than it was told: by the clock, ten thousand of them do not add up.
        if (wait := begin + turn * pause - loop.time()) > 0:
            await asyncio.sleep(wait)
        place.send_away()
    places.empty = asyncio.Event()
    if places.open:
        await places.empty.wait()
    if everybody:
        await asyncio.sleep(GRACE)


def install(loop: asyncio.AbstractEventLoop, leave: Leave) -> None:
    """Drain the clients of this process, served on ``loop``, when its server is told to end; then ``leave``.

    Does nothing where no server handles SIGTERM: in tests, commands, and threads that are not the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    current = signal.getsignal(signal.SIGTERM)
    if isinstance(current, Drain):
        current.loop, current.leave = loop, leave
    elif callable(current):
        Drain(loop, leave).install()
