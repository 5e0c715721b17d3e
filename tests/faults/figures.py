"""What a run is made of, and what it has measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.checker import Verdict


@dataclass(frozen=True)
class Options:
    """What a run is made of, and when it has done enough."""

    seed: int
    deliveries: int
    faults: int
    clients: int
    webs: tuple[str, ...] = ("uvicorn", "daphne", "uvicorn")
    workers: int = 3
    owners: int = 10
    #: Changes per second of each worker, and bursts besides.
    pace: float = 5.0
    #: Changes per second over HTTP, by way of the web processes.
    calls: float = 2.0
    #: Seconds: how long faults last, and the most between the beginnings of two.
    hold: tuple[float, float] = (0.5, 3.0)
    gap: float = 3.0
    #: Faults at a time.
    together: int = 2
    #: Seconds after which it is over, whatever has been reached.
    limit: float = 3600.0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Figures:
    """What a run has measured."""

    seed: int
    deliveries: int = 0
    events: int = 0
    connections: int = 0
    #: Changes that were confirmed over HTTP.
    called: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    stall: float = 0.0
    stalled_in: str = ""
    recovery: float = 0.0
    recovered_from: str = ""
    seconds: float = 0.0
    servers: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    complete: bool = False
