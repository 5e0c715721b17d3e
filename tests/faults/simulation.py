"""A deterministic world for the delivery loop: an event loop with virtual time."""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, its virtual clock jumps to the next timer."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, or let the time pass."""
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in which seconds cost nothing and every run of a schedule is the same.

    A database call runs for real, in its thread, while the loop stands still; it begins and its
    answer arrives after as many virtual seconds as :attr:`delays` say, so that a slow query overlaps
    with whatever happens meanwhile.
    """

    def __init__(self) -> None:
        self._clock = _Selector()
        self.delays: Iterator[float] = itertools.repeat(0.0)
        #: Database calls that fail from now on.
        self.failures = 0
        #: How many there were, and how many at a time at most.
        self.calls = self.most = 0
        self._under_way = 0
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass, and everything happen that is due in it."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call ``func`` in the executor, at a moment and with an answer at a moment of the schedule."""
        assert executor is not None
        self.calls += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        answer = self.create_future()
        self.call_later(next(self.delays), self._execute, executor, func, args, answer)
        return answer

    def _execute(
        self, executor: Executor, func: Callable[..., Any], args: tuple[Any, ...], answer: asyncio.Future[Any]
    ) -> None:
        if answer.cancelled():
            self._under_way -= 1
            return
        future = executor.submit(func, *args)
        error = future.exception()
        if self.failures:
            self.failures -= 1
            error = ConnectionError("The simulated database is away.")
        tell = answer.set_exception if error else answer.set_result
        value = error or future.result()

        def arrive() -> None:
            self._under_way -= 1
            if not answer.done():
                tell(value)

        self.call_later(next(self.delays), arrive)
