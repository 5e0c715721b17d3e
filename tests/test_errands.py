"""Errands: a thread tells queues what was decided, so that nobody waits for a broker."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from realtime.integrations.errands import Errands
from tests.kit.waiting import eventually


def held(errands: Errands) -> threading.Event:
    """Keep the thread busy until the event is set."""
    free, busy = threading.Event(), threading.Event()

    def hold(things: list[Any]) -> None:
        busy.set()
        free.wait(60)

    errands.add(hold, None)
    assert busy.wait(60)
    return free


def test_things_that_follow_each_other_are_told_at_once() -> None:
    """A cancel of 500 tasks is one message to the broker; what is another errand keeps its place."""
    told: list[list[Any]] = []

    def other(things: list[Any]) -> None:
        told.append(["other", *things])

    errands = Errands()
    free = held(errands)
    for errand, thing in ((told.append, 1), (told.append, 2), (other, 3), (told.append, 4)):
        errands.add(errand, thing)
    free.set()
    assert errands.flush(60)
    assert told == [[1, 2], ["other", 3], [4]]


def test_an_error_does_not_keep_the_others_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    told: list[Any] = []

    def fail(things: list[Any]) -> None:
        raise ValueError("no")

    errands = Errands()
    errands.add(fail, 1)
    errands.add(told.extend, 2)
    assert errands.flush(60)
    assert told == [2]
    assert "A queue could not be told of 1 tasks." in caplog.text


def test_only_so_much_may_wait(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What is more is dropped, and said."""
    monkeypatch.setattr("realtime.integrations.errands.LIMIT", 2)
    told: list[Any] = []
    errands = Errands()
    free = held(errands)
    for thing in (1, 2, 3):
        errands.add(told.extend, thing)
    free.set()
    assert errands.flush(60)
    assert told == [1, 2]
    assert "was not told of 3" in caplog.text


def test_the_thread_ends_when_nothing_is_left() -> None:
    """And another begins with the next errand."""
    told: list[Any] = []
    errands = Errands()
    for thing in (1, 2):
        errands.add(told.extend, thing)
        assert errands.flush(60)
        eventually(lambda: all(t.name != "realtime-errands" for t in threading.enumerate()), 60)
    assert told == [1, 2]


def test_a_process_that_ends_tells_first() -> None:
    """As a management command that cancels and is done."""
    code = (
        "import time\nfrom realtime.integrations import errands\n"
        "errands.add(lambda things: (time.sleep(0.3), print(things)), 'told')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("['told']\n", "")
