"""What a page says in words: how long a task takes, as the server reckons it; and what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from realtime import exceptions
from realtime.events import STATUSES, rfc3339
from realtime.exceptions import Problem
from realtime.pace import pace
from tests import scripted
from tests.pages import Visit

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
PACE = """
async ([tasks, now]) => {
  const { remaining, throughput } = await import("/static/realtime/pace.js");
  return tasks.map((task) => [remaining(task, now), throughput(task, now)]);
}
"""
WORDS = """
async ([started_at, cases]) => {
  const { paceText } = await import("/static/realtime/words.js");
  const usual = { status: "running", progress: 0, done: 0, total: null, started_at, finished_at: null };
  return cases.map(([task, state, passed]) =>
    paceText({ ...usual, ...task }, state, Date.parse(started_at) + 1000 * passed));
}
"""
#: What is known of a task, its state, the seconds since it began, and the words.
CASES: list[tuple[dict[str, Any], str, int, str]] = [
    ({"done": 90, "total": 100}, "running", 60, "a few seconds left"),
    ({"done": 60, "total": 100}, "running", 63, "about 40 s left"),
    ({"progress": 50}, "running", 118, "about 2 min left"),
    ({"progress": 1}, "running", 120, "about 3 h left"),
    ({"progress": 1}, "running", 3600, "about 4 days left"),
    ({"done": 312}, "running", 60, "5.2 per s"),
    ({"done": 18_640}, "running", 180, "100 per s"),
    ({"done": 3}, "running", 60, "3 per min"),
    ({"done": 3}, "running", 7200, "1.5 per h"),
    ({}, "running", 60, ""),
    ({"progress": 50}, "stale", 600, ""),
    ({"progress": 50}, "cancelling", 60, ""),
    ({"progress": 50, "status": "failed"}, "failed", 60, ""),
]
TOLD = """
async (problems) => {
  const { problemText } = await import("/static/realtime/words.js");
  return problems.map(problemText);
}
"""
#: What nobody can know who has not read the protocol.
JARGON = ("credential", "cursor", "CSRF", "token", "ticket", "event log", "header", "frame", "come back")
#: Of a program that is not this one, or of a site that is set up wrongly: nobody meets them on a page.
NOT_MET = {"unsupported_frame", "invalid_credentials", "late_resume", "wrong_user", "idempotency_conflict"}


@pytest.fixture
def ask(visit: Callable[..., Visit]) -> Callable[..., Any]:
    """Call functions of the site's modules on a page."""
    visited = visit(user=None, path=scripted.BLANK)
    visited.forgiven = scripted.NO_ICON
    return visited.page.evaluate


@pytest.mark.requirement("T2")
def test_the_page_reckons_as_the_server_does(ask: Callable[..., Any]) -> None:
    """The same rate and the same time left, and the same where nobody can know, for tasks of every kind."""
    now = START + timedelta(seconds=90)
    tasks, expected = [], []
    kinds = product(sorted(STATUSES), (0, 5, 40, 41), (None, 0, 40), (0, 25, 100), (None, 0, 90), (None, 30))
    for status, done, total, progress, began, ended in kinds:
        started = None if began is None else START + timedelta(seconds=began)
        finished = None if ended is None else START + timedelta(seconds=ended)
        values: dict[str, Any] = {"status": status, "done": done, "total": total, "progress": progress}
        found = pace(now=now, started_at=started, finished_at=finished, **values)
        expected.append([None if found.eta is None else found.eta * 1000, found.throughput])
        times = {"started_at": started, "finished_at": finished}
        tasks.append({**values, **{name: one and rfc3339(one) for name, one in times.items()}})
    reckoned = ask(PACE, [tasks, now.timestamp() * 1000])
    assert list(reckoned) == [pytest.approx(pair) for pair in expected]
    assert any(left for left, _ in reckoned)


@pytest.mark.requirement("T2")
def test_the_time_left_is_told_roughly(ask: Callable[..., Any]) -> None:
    """Without a total, how fast it counts; nothing of what is silent, stopping or over."""
    told = ask(WORDS, [rfc3339(START), [case[:3] for case in CASES]])
    assert told == [words for *_, words in CASES]


def test_what_went_wrong_is_told_in_words_for_people(ask: Callable[..., Any]) -> None:
    """No error that somebody can meet on a page speaks of what only programs know."""
    problems = [one for one in vars(exceptions).values() if isinstance(one, Problem)]
    met = [one for one in problems if one.code not in NOT_MET]
    told = ask(TOLD, [{"code": one.code, "message": one.message} for one in met])
    assert {one.code: words for one, words in zip(met, told, strict=True) if not words} == {}
    assert {words: part for words in told for part in JARGON if part.lower() in words.lower()} == {}
    assert ask(TOLD, [{"code": "illegal_transition", "message": "A failed task cannot be cancelled."}]) == [
        "A failed task cannot be cancelled."
    ]
