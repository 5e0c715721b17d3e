"""The thread of this process that writes reports, in the hands of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from realtime.models import Task, throttle
from tests.leasing import end_renewals


def end_reports() -> None:
    """Let nothing wait any more, and the thread end, and its database connection with it."""
    throttle._timer._heap.clear()
    if (thread := throttle._timer._thread) is not None:
        thread.join(10)


def only() -> Task:
    """The one task there is, as it is stored."""
    return Task.objects.get()


@pytest.fixture
def at_once(engine: str, settings: Any) -> Iterator[None]:
    """Every report is written; afterwards nothing waits, and nothing is renewed."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}
    yield
    end_renewals()
    end_reports()


@pytest.fixture
async def own_connections() -> AsyncIterator[None]:
    """Let an async test's thread keep no connection."""
    yield
    await sync_to_async(connections.close_all)()
