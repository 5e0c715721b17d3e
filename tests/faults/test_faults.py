"""The short form: every kind of fault at least once, and each client's history equals the log."""

from __future__ import annotations

import random

import pytest

from tests.faults.report import ZERO, lines
from tests.faults.run import Options, Run

#: The long form is `make faults`.
SHORT = {
    "deliveries": 1_000,
    "faults": 19,
    "clients": 20,
    "webs": ("uvicorn", "daphne"),
    "workers": 2,
    "owners": 4,
    "pace": 12.0,
    "hold": (0.2, 0.6),
    "gap": 0.4,
    "together": 3,
    "limit": 120.0,
    "settings": {"LOG_CHECK_INTERVAL": 0.25, "LEASE_SECONDS": 2, "PING_INTERVAL": 0.5},
}


@pytest.mark.requirement("F1", "F2", "F4", "C1", "K4", "K13", "K14", "P8")
async def test_nothing_is_lost_repeated_or_disordered_whatever_dies() -> None:
    """Redis, PostgreSQL, web processes, workers and lines die; each client gets its events once, in order."""
    seed = random.SystemRandom().randrange(1 << 30)
    said: list[str] = []
    figures = await Run(Options(seed=seed, **SHORT), said.append).go()  # type: ignore[arg-type]
    table = "\n".join([*said, *lines(figures), str(figures.verdict)])
    assert figures.verdict.clean, table
    assert figures.complete, table
    assert all(figures.counted.values()), table
    assert {name: figures.verdict.counts[name] for name in ZERO} == dict.fromkeys(ZERO, 0)
    # The faults were felt: the doorbell was missed, and what it did not bring was read from the log.
    assert figures.servers["realtime_hub_holes_filled_total"] > 0, table
