"""Elapsed, throughput and the time left: their arithmetic at every edge, and where they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import FINAL, STATUSES
from realtime.models import Task
from realtime.pace import Pace, pace
from tests.api_caller import Caller

pytestmark = pytest.mark.requirement("T2")

START = datetime(2026, 11, 21, tzinfo=UTC)


def after(seconds: float, *, took: float | None = None, **values: Any) -> Pace:
    """The pace of a task that started so many seconds ago; it ended after `took` seconds."""
    end = None if took is None else START + timedelta(seconds=took)
    fields = {"status": "running", "done": 0, "total": None, "progress": 0, "started_at": START} | values
    return pace(now=START + timedelta(seconds=seconds), finished_at=end, **fields)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"started_at": None, "status": "pending", "total": 10}, Pace()),
        ({"done": 25, "total": 100}, Pace(10, 2.5, 30)),
        ({"done": 25}, Pace(10, 2.5, None)),
        ({"progress": 25}, Pace(10, None, 30)),
        ({"done": 5, "progress": 50}, Pace(10, 0.5, 10)),
        ({"done": 25, "total": 100, "progress": 99}, Pace(10, 2.5, 30)),
        ({"total": 100, "progress": 50}, Pace(10, 0, 10)),
        ({"total": 100}, Pace(10, 0, None)),
        ({}, Pace(10, None, None)),
        ({"total": 0}, Pace(10, None, None)),
        ({"total": 0, "progress": 50}, Pace(10, None, 10)),
        ({"total": 0, "done": 5}, Pace(10, 0.5, None)),
        ({"done": 100, "total": 100}, Pace(10, 10, 0)),
        ({"progress": 100}, Pace(10, None, 0)),
        ({"done": 101, "total": 100, "progress": 100}, Pace(10, 10.1, None)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_is_known_after_ten_seconds(values: dict[str, Any], expected: Pace) -> None:
    """Counts come before the percentage; of nothing, without a total, and beyond it there is no estimate."""
    assert after(10, **values) == pytest.approx(expected)


@pytest.mark.parametrize("status", sorted(FINAL))
def test_after_the_end_the_figures_are_fixed(status: str) -> None:
    """The time it took and its mean; nothing is left, whatever was done."""
    values: dict[str, Any] = {"status": status, "done": 50, "total": 100, "took": 20}
    assert after(20, **values) == after(86_400, **values) == Pace(20, 2.5, None)


def test_a_task_that_never_started_has_no_figures() -> None:
    """It was cancelled while it was pending."""
    assert after(10, started_at=None, status="cancelled", took=5) == Pace()


def test_while_nothing_is_reported_the_estimate_grows() -> None:
    """A worker that stands still is not about to be ready."""
    etas = [after(seconds, done=50, total=100).eta for seconds in (10, 20, 40)]
    assert etas == [10, 20, 40]


@pytest.mark.parametrize("seconds", [0, -5])
def test_without_time_there_is_no_rate(seconds: float) -> None:
    """At the very start, and where another machine's clock is ahead."""
    assert after(seconds, done=5, total=10, progress=50) == Pace(0, None, None)


COUNTS = st.integers(0, 2**63 - 1)


@given(
    st.floats(-1e6, 1e9),
    st.sampled_from(STATUSES),
    COUNTS,
    st.none() | COUNTS,
    st.integers(0, 100),
    st.booleans(),
)
def test_figures_are_numbers_from_zero_or_unknown(
    seconds: float, status: str, done: int, total: int | None, progress: int, started: bool
) -> None:
    """No counts make it fail, and a client is never shown less than nothing, or infinity."""
    took = max(0.0, seconds) if status in FINAL else None
    start = START if started else None
    figures = after(
        seconds, took=took, started_at=start, status=status, done=done, total=total, progress=progress
    )
    assert all(figure is None or 0 <= figure < float("inf") for figure in figures)
    assert (figures.elapsed is None) == (not started)
    assert figures.eta is None or status == "running"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_api_tells_them(engine: str, make_user: Any) -> None:
    """Of one task and in lists, by the server's clock; a task has them as attributes."""
    ann = Caller(make_user())
    start = datetime.now(UTC) - timedelta(seconds=100)
    task = ann.task("running", done=50, total=200, started_at=start)
    one, (listed,) = ann.get(f"/api/tasks/{task.pk}/").json(), ann.get("/api/tasks/").json()["results"]
    for body in (one, listed):
        assert 100 <= body["elapsed"] < 200
        assert body["throughput"] == pytest.approx(50 / body["elapsed"], rel=0.01)
        assert body["eta"] == pytest.approx(3 * body["elapsed"], rel=0.01)
    stored = Task.objects.get()
    assert None not in (stored.elapsed, stored.throughput, stored.eta)
    task.cancel()
    assert ann.get(f"/api/tasks/{ann.task().pk}/").json()["elapsed"] is None
