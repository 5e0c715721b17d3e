"""The end of a synchronous client: whatever hangs, it is soon, and without an error of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from realtime.client import SyncClient, Timing, Unreachable, sync
from tests.following import no_threads_left


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What hangs goes on when this is set; a client waits for a second, not for ten."""
    monkeypatch.setattr(sync, "FAREWELL", 1.0)
    answer = threading.Event()
    yield answer
    answer.set()
    no_threads_left()


def test_a_name_that_is_not_found_does_not_hold_up_the_end(
    answer: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that looks it up is left behind."""

    def look_up(*_: Any, **__: Any) -> Any:
        assert answer.wait(60)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = SyncClient("https://example.com", token="x", timing=Timing(connect=0.2)).__enter__()
    with pytest.raises(Unreachable):
        client.task("65c5d3c5-47ba-4c63-aec6-9e4943b37d85")
    assert not answer.is_set()
    begin = time.monotonic()
    client.close()
    assert time.monotonic() - begin < 30


def test_a_loop_that_hangs_is_left_behind(answer: threading.Event) -> None:
    """No error about its state; it ends by itself when it can."""
    client = SyncClient("https://example.com", token="x").__enter__()
    loop = client._loop
    assert loop is not None
    loop.call_soon_threadsafe(answer.wait, 60)
    client.close()
    client.close()
    assert not loop.is_closed()
    answer.set()
    no_threads_left()
    assert loop.is_closed()
