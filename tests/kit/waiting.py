"""Waiting for a condition with a deadline, where a test would otherwise sleep and hope."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")
Message = str | Callable[[], str]


def eventually(
    condition: Callable[[], T], timeout: float = 10, interval: float = 0.01, message: Message = ""
) -> T:
    """Call `condition` every `interval` seconds until it is true, and return what it returned.

    `message` says what was waited for; one that can be called is when it did not come, as for a log.
    An AssertionError or OSError it raises counts as not yet. Raises AssertionError after `timeout`
    seconds, with the last value or error.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(condition, timeout, last, message))
        time.sleep(interval)


async def aeventually(
    condition: Callable[[], T | Awaitable[T]],
    timeout: float = 10,
    interval: float = 0.01,
    message: Message = "",
) -> T:
    """Wait as `eventually` does, without blocking the loop; `condition` may be async."""
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await asyncio.wait_for(value, max(deadline - time.monotonic(), interval))
            if value:
                return cast(T, value)
            last = value
        except (AssertionError, OSError, TimeoutError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(condition, timeout, last, message))
        await asyncio.sleep(interval)


def _complaint(condition: Callable[[], object], timeout: float, last: object, message: Message) -> str:
    """What was waited for, how long, and what was there instead."""
    if not isinstance(message, str):
        message = message()
    what = message or getattr(condition, "__qualname__", repr(condition))
    if not message and getattr(condition, "__name__", "") == "<lambda>":
        with contextlib.suppress(OSError, TypeError):  # what was typed into a shell has no source
            what = inspect.getsource(condition).strip()
    return f"not within {timeout} s: {what}\nthe last value was: {last!r}"
