"""Hypothesis over real connections: examples run in a thread, the connections live on the test's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

#: At least a hundred examples. What takes time is the servers; what failed is shrunk by hand.
hundred = settings(
    max_examples=110, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
DEADLINE = 30


class Loop:
    """The loop on which the connections of a test live."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, from an example's thread."""
        bounded = asyncio.wait_for(work, DEADLINE)
        return asyncio.run_coroutine_threadsafe(bounded, self._loop).result(DEADLINE + 5)

    async def examples(self, holds: Callable[[], None]) -> None:
        """Run a property's examples."""
        await asyncio.to_thread(holds)
