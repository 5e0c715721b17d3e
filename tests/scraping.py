"""Reading ``/metrics`` as Prometheus does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.flows import Live


class Scrape:
    """What one answer says, read by Prometheus' own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: Any) -> float:
        """The sum of the samples of that name which have these labels, 0 when there are none."""
        wanted = labels.items()
        return sum(
            s.value for s in self.samples if s.name == f"realtime_{name}" and wanted <= s.labels.items()
        )


async def scrape(live: Live, headers: Mapping[str, str] | None = None) -> Scrape:
    """Ask a server for its metrics."""
    answer = await live.http("GET", "/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["cache-control"] == "no-store"
    return Scrape(answer.text)
