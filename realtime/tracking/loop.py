"""A loop that is a task, each of its rows a step."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from itertools import islice
from types import TracebackType
from typing import Any, Generic, TypeVar

from django.db import transaction

from realtime.models import Task
from realtime.tracking.block import Block

T = TypeVar("T")


class Steps(AsyncIterator[T]):
    """The rows of an ``async for`` that is alone.

    Who leaves it early drops it: its task is then not what the code behind it works on, from there on. The
    generator itself is closed later, by the event loop, in a copy of the context.
    """

    def __init__(self, block: Block, rows: AsyncGenerator[T, None]) -> None:
        self._block, self._rows = block, rows

    def __anext__(self) -> Awaitable[T]:
        return self._rows.__anext__()

    async def aclose(self) -> None:
        """End the task early, as leaving the loop does."""
        await self._rows.aclose()
        self._block.leave()

    def __del__(self) -> None:
        self._block.leave()


class Loop(Generic[T]):
    """Rows to go through, each a step of a task: ``for`` or ``async for``, alone or in a ``with`` block.

    A loop alone cannot tell ``break`` from an exception of its body; both end it early, and it is failed
    (:data:`LEFT`). In a ``with`` block it can: then ``break`` completes, and an exception is named.
    """

    def __init__(
        self,
        rows: Iterable[T] | AsyncIterable[T],
        make_block: Callable[[Callable[[], int | None]], Block],
        total: int | None,
        commit_every: int | None,
        using: str,
    ) -> None:
        """``make_block`` makes a block of what measures its total."""
        self._rows: Any = rows
        self._make_block, self._total = make_block, total
        self._commit_every, self._using = commit_every, using
        self._block: Block | None = None

    def _measure(self) -> int | None:
        """Return how many rows there are, when they say so; a queryset is fetched, as the loop would do."""
        if self._total is None and hasattr(self._rows, "__len__"):
            return len(self._rows)
        return self._total

    def __iter__(self) -> Iterator[T]:
        if self._block is None:
            return self._alone()
        return self._walk(self._block.task)

    def _alone(self) -> Iterator[T]:
        with self._make_block(self._measure) as task:
            yield from self._walk(task)

    def _walk(self, task: Task) -> Iterator[T]:
        advance = task.advance
        if self._commit_every is None:
            for row in self._rows:
                yield row
                advance()
            return
        rows = iter(self._rows)
        # Fetched outside: the cursor of a queryset's iterator() would end with the first transaction.
        while chunk := list(islice(rows, self._commit_every)):
            with transaction.atomic(using=self._using, durable=True):
                yield from chunk
            advance(len(chunk))

    def __aiter__(self) -> AsyncIterator[T]:
        if self._commit_every is not None:
            raise TypeError("commit_every is for `for`: a transaction cannot span an `await`.")
        if self._block is not None:
            return self._awalk(self._block.task)
        block = self._make_block(self._measure)
        return Steps(block, self._aalone(block))

    async def _aalone(self, block: Block) -> AsyncGenerator[T, None]:
        async with block as task:
            async for row in self._awalk(task):
                yield row

    async def _awalk(self, task: Task) -> AsyncIterator[T]:
        if hasattr(self._rows, "__aiter__"):
            async for row in self._rows:
                yield row
                task.advance()
            return
        for row in self._rows:
            yield row
            task.advance()

    def __enter__(self) -> Loop[T]:
        self._block = self._make_block(self._measure)
        self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        assert block is not None
        block.__exit__(kind, error, trace)

    async def __aenter__(self) -> Loop[T]:
        self._block = self._make_block(self._measure)
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        assert block is not None
        await block.__aexit__(kind, error, trace)
