"""Work for a database that an event loop asks for: done by a thread, soon, and in the loop's order.

The loop waits for it, so that what it published is shown when it goes on; but never for long, and not again
and again for a database that does not answer.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from django.db import connections

from realtime.integrations.errands import Errands

logger = logging.getLogger("realtime.jobs")

#: Seconds that an event loop is held up at most, once, until the thread has caught up.
LOOP_SECONDS = 2.0


class Work(NamedTuple):
    """What is to be done, and what came of it."""

    function: Callable[[], object]
    ended: Future[object]

    def __str__(self) -> str:
        return "a job"


def run(function: Callable[[], object]) -> None:
    """Call it; in a thread when this one runs an event loop, where Django refuses, and no transaction is.

    Raises what it raises, if the loop has waited for it. Else that is logged: a worker that begins the job
    makes its task.
    """
    global _late
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        function()
        return
    work = Work(function, Future())
    waits = _late is None or _late.done()
    if not _thread.add(_do_all, work):
        return
    if waits:
        if wait([work.ended], LOOP_SECONDS).done:
            work.ended.result()
            return
        logger.warning("A task is shown late: the database has not answered for %s s.", LOOP_SECONDS)
    _late = work.ended
    work.ended.add_done_callback(_tell_if_lost)


def _do_all(works: list[Work]) -> None:
    for work in works:
        try:
            try:
                result = work.function()
            finally:
                # One that broke must not be the next one's.
                connections.close_all()
        except BaseException as error:
            work.ended.set_exception(error)
        else:
            work.ended.set_result(result)


def _tell_if_lost(late: Future[Any]) -> None:
    if (error := late.exception()) is not None:
        logger.error("A task could not be shown until a worker begins it: %r", error)


def _new() -> Errands:
    return Errands("realtime-jobs", "The database")


_thread = _new()
#: What was begun last and not waited for.
_late: Future[object] | None = None


def _fork() -> None:
    """A forked child has neither the thread nor the parent's work."""
    global _thread, _late
    _thread, _late = _new(), None


os.register_at_fork(after_in_child=_fork)
atexit.register(lambda: _thread.flush())
