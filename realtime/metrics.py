"""Every metric of the app, in Prometheus' words; whoever does something counts it here.

A registry of our own: what else a project measures stays apart. Labels have few values, never an id, a
user or an address. Nothing is counted per delivery: the frames of a connection are a number of its own,
added when somebody looks and when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()

WEBSOCKET, SSE, HTTP = "websocket", "sse", "http"
RING, LOG = "ring", "log"


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"realtime_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"realtime_{name}", text, labels, registry=REGISTRY)


NODE = Info("realtime_node", "This process, by the id that it has among the nodes.", registry=REGISTRY)

# -- clients ----------------------------------------------------------------------------------

OPEN = _gauge("connections_open", "Connections that are open now.", "transport")
OPENED = _counter("connections_opened_total", "Connections that were let in.", "transport")
FRAMES_SENT = _counter("frames_sent_total", "Frames handed to the server for clients.", "transport")
ERRORS = _counter(
    "errors_total", "Errors and refusals told to clients, by the code they were told.", "code", "transport"
)
CLOSES = _counter("websocket_closes_total", "WebSocket closes sent, by close code.", "code")
RESETS = _counter("resets_total", "Cursors given up: the client started afresh.", "reason")
OVERFLOWS = _counter("buffer_overflows_total", "Buffers that ran over: the client fell behind.", "transport")
STUCK = _counter(
    "stuck_clients_total", "Clients that took nothing for SEND_TIMEOUT and were ended.", "transport"
)
STALLS = _counter(
    "window_stalls_total", "Times writing to a client stopped: it had not answered for WRITE_WINDOW bytes."
)
REPLAYS = _counter("replay_pages_total", "Pages of missed events read for clients.", "source")

# -- the hub ----------------------------------------------------------------------------------

POSITION = _gauge("hub_position", "Position in the log up to which the hub has dispatched.")
LAG = _gauge("hub_lag_seconds", "Seconds since the hub last was where the log's head was.")
DISPATCHED = _counter("hub_events_dispatched_total", "Events the hub went over, in the log's order.")
REPEATED = _counter("hub_events_repeated_total", "Events that were brought again, and dropped.")
EARLY = _counter("hub_events_early_total", "Events that were brought before the one before them.")
HOLES = _counter("hub_holes_filled_total", "Times the hub read from the log what it had not been brought.")
HOLE_EVENTS = _counter("hub_hole_events_total", "Events that the hub read from the log so.")
ORPHANS = _counter("hub_orphans_total", "Events left without a position, which the hub gave one.")
REBASES = _counter("log_rebases_total", "Times the log was found damaged or restored, and rebased.")
JUMPS = _counter("hub_jumps_total", "Times the hub went on behind events that were gone.")

# -- the doorbell -----------------------------------------------------------------------------

NOT_RUNG = _counter("publisher_dropped_total", "Events not rung for, since the publisher's queue was full.")
SEND_FAILURES = _counter("publisher_failures_total", "Messages that the channel layer did not take.")
JOINS = _counter("layer_joins_total", "Times this process joined the channel layer's group.")
NOT_UNDERSTOOD = _counter("layer_not_understood_total", "Messages of the channel layer that made no sense.")
PROBES_LOST = _counter("layer_probes_lost_total", "Probes of the channel layer that did not come back.")

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

for _transport in (WEBSOCKET, SSE):
    # Seen before the first one comes: a rate over a series that was not there misses its first step.
    for _metric in (OPEN, OPENED, FRAMES_SENT, OVERFLOWS, STUCK):
        _metric.labels(_transport)
for _source in (RING, LOG):
    REPLAYS.labels(_source)
for _place in (POSITION, LAG):
    # Nowhere, until there is a hub.
    _place.set(float("nan"))


class _WithoutBirthdays(Collector):
    """All metrics but the time at which each counter was made, of which there are as many again."""

    def collect(self) -> Iterator[Metric]:
        for metric in REGISTRY.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def text() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(_WithoutBirthdays())
