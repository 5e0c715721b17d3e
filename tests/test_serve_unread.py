"""What the kernel is told of the connections of `make serve`: none waits for ever to be read."""

from __future__ import annotations

import socket

import pytest
from uvicorn import Config

from project.serve import UNREAD_MS, listen
from tests.kit.ports import HOST


@pytest.mark.requirement("F3")
def test_a_line_that_nobody_reads_is_ended_by_the_kernel() -> None:
    """uvicorn's own close waits until the client has read the rest; the limit holds for every connection."""
    with listen(Config("project.asgi:application", host=HOST, port=0)) as listener:
        listener.settimeout(5)
        listener.listen(1)
        with socket.create_connection(listener.getsockname(), timeout=5):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNREAD_MS
