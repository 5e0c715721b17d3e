"""What a queue is told, by a thread of its own: who cancels a task does not wait for a broker.

The queue may be away, or take the connection and never answer. What is lost here is no task: a worker reads
the row before it begins.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from django.db import connections

logger = logging.getLogger("realtime.errands")

#: Errands that may wait; more are dropped.
LIMIT = 10_000
#: Seconds a process that ends waits for what is still to be told.
FLUSH_SECONDS = 5.0

Errand = Callable[[list[Any]], None]


class Errands:
    """A bounded queue, and the one thread that runs it down and then ends."""

    def __init__(self, name: str = "realtime-errands", whom: str = "A queue") -> None:
        self._name, self._whom = name, whom
        self._queue: deque[tuple[Errand, Any]] = deque()
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    def add(self, errand: Errand, thing: Any) -> bool:
        """Have ``errand([thing, …])`` called soon, once for all things that follow each other.

        Returns whether there was room for it.
        """
        with self._lock:
            if len(self._queue) >= LIMIT:
                logger.warning("%s was not told of %s: too much waits to be told.", self._whom, thing)
                return False
            self._queue.append((errand, thing))
            if self._idle.is_set():
                self._idle.clear()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            return True

    def _next(self) -> tuple[Errand, list[Any]] | None:
        """Take the next errand with all its things; None ends the thread, and no later one is missed."""
        with self._lock:
            if not self._queue:
                self._idle.set()
                return None
            errand, things = self._queue[0][0], []
            while self._queue and self._queue[0][0] == errand:
                things.append(self._queue.popleft()[1])
            return errand, things

    def _run(self) -> None:
        while (found := self._next()) is not None:
            errand, things = found
            try:
                errand(things)
            except Exception:
                logger.exception("%s could not be told of %d tasks.", self._whom, len(things))
            finally:
                connections.close_all()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything was told, at most so long; tell whether it was."""
        return self._idle.wait(seconds)


_errands = Errands()


def add(errand: Errand, thing: Any) -> None:
    """Queue the call for this process's errand thread; see :meth:`Errands.add`."""
    _errands.add(errand, thing)


def _fork() -> None:
    """A forked child (Celery prefork) has neither the thread nor the parent's errands."""
    global _errands
    _errands = Errands()


os.register_at_fork(after_in_child=_fork)
atexit.register(lambda: _errands.flush())
