"""Work that an event loop gives to a thread: in order, waited for once, and heard of when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from realtime.integrations import off_loop


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loop is held up for a moment only; no work is left behind."""
    monkeypatch.setattr(off_loop, "LOOP_SECONDS", 0.2)
    yield
    assert off_loop._thread.flush(60)


def fail() -> None:
    """Do as a database that is away."""
    raise OSError("away")


async def test_what_is_done_in_time_is_waited_for() -> None:
    """Also its error, which is the publisher's."""
    done: list[str] = []
    off_loop.run(lambda: done.append(threading.current_thread().name))
    assert done == ["realtime-jobs"]
    with pytest.raises(OSError, match="away"):
        off_loop.run(fail)


def test_without_a_loop_it_is_done_here() -> None:
    """In the caller's thread, and so in its transaction."""
    done: list[str] = []
    off_loop.run(lambda: done.append(threading.current_thread().name))
    assert done == [threading.current_thread().name]


async def test_a_loop_waits_once_until_the_thread_has_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    """What comes meanwhile is done later, in order, and the log says what failed."""
    free, done = threading.Event(), list[int]()
    off_loop.run(lambda: free.wait(60))
    for number in range(3):
        off_loop.run(partial(done.append, number))
    off_loop.run(fail)
    assert done == []
    assert caplog.text.count("A task is shown late") == 1
    free.set()
    assert off_loop._thread.flush(60)
    assert done == [0, 1, 2]
    assert "could not be shown until a worker begins it: OSError('away')" in caplog.text
    off_loop.run(lambda: done.append(3))
    assert done == [0, 1, 2, 3]


async def test_only_so_much_may_wait(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """What is more is shown by the worker that begins it; the publisher is not held up."""
    monkeypatch.setattr("realtime.integrations.errands.LIMIT", 2)
    free, done = threading.Event(), list[int]()
    off_loop.run(lambda: free.wait(60))
    for number in range(3):
        off_loop.run(partial(done.append, number))
    free.set()
    assert off_loop._thread.flush(60)
    assert done == [0, 1]
    assert "The database was not told of a job: too much waits" in caplog.text
