"""How soon a page shows what happens elsewhere: a promise that one hiccup of the machine does not break."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median


class Stopwatch:
    """Measures several waits, each of which has a deadline of its own."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Measure one wait."""
        begun = time.monotonic()
        yield
        self.seconds.append(time.monotonic() - begun)

    @property
    def usual(self) -> float:
        """The median of the waits, in seconds."""
        return median(self.seconds)
