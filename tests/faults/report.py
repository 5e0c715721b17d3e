"""The figures of a run as a table."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.run import Figures

#: What must be zero, by the judge's names.
ZERO = ("lost", "repeated", "disordered", "resets")
#: What is a sum of several of the servers' counters, by the beginning of their names.
SERVERS = {
    "holes healed from the log": "realtime_hub_holes_filled_total",
    "events read from the log so": "realtime_hub_hole_events_total",
    "events brought again, dropped": "realtime_hub_events_repeated_total",
    "events brought early": "realtime_hub_events_early_total",
    "orphans positioned by a hub": "realtime_hub_orphans_total",
    "replay pages from the log": 'realtime_replay_pages_total{source="log"}',
    "replay pages from the ring": 'realtime_replay_pages_total{source="ring"}',
    "buffers that ran over": "realtime_buffer_overflows_total",
    "joins of the layer": "realtime_layer_joins_total",
    "probes that did not come back": "realtime_layer_probes_lost_total",
}


def lines(figures: Figures) -> Iterator[str]:
    """Yield the table, line by line."""
    yield from _row("seed", figures.seed)
    yield from _row("duration", f"{figures.seconds:,.0f} s")
    yield from _row("events in the log", f"{figures.events:,}")
    yield from _row("deliveries", f"{figures.deliveries:,}")
    yield from _row("changes confirmed over HTTP", f"{figures.called:,}")
    yield from _row("connections", f"{figures.connections:,}")
    yield from _row("faults counted / injected", f"{figures.counted.total()} / {figures.injected.total()}")
    for kind in sorted(figures.injected):
        yield from _row(f"  {kind}", f"{figures.counted[kind]} / {figures.injected[kind]}")
    for name in ZERO:
        yield from _row(name, figures.verdict.counts[name])
    for name, count in sorted(figures.verdict.counts.items()):
        if name not in ZERO:
            yield from _row(name, count)
    for name, metric in SERVERS.items():
        values = [count for sample, count in figures.servers.items() if sample.startswith(metric)]
        yield from _row(name, f"{sum(values):,}" if values else "not counted")
    yield from _row("longest stall", f"{figures.stall:.1f} s ({figures.stalled_in})")
    yield from _row("longest recovery", f"{figures.recovery:.1f} s ({figures.recovered_from})")
    yield from _row("enough", "yes" if figures.complete else "NO")


def _row(name: str, value: object) -> Iterator[str]:
    yield f"{name:<36} {value}"
