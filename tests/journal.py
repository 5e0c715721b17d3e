"""What the log holds."""

from __future__ import annotations

from realtime import replay
from realtime.events import LogEvent

FOREVER = 2**62


def journal() -> list[LogEvent]:
    """Every event that has a position, in the log's order."""
    return replay.read(0, FOREVER, 100_000)
