"""Track anything: a block, a function, a loop, each as a task that ends as the work did.

with track("Import", owner=user, total=300) as task:
    for row in rows:
        task.advance()

for row in track(rows, "Import", owner=user):
    ...

@tracked("Import", owner="user")
def import_rows(user, path, task): ...
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar, overload

from django.db import DEFAULT_DB_ALIAS

from realtime.tracking.block import INHERITED, Block
from realtime.tracking.function import tracked
from realtime.tracking.loop import Loop

__all__ = ["Block", "Loop", "track", "tracked"]

T = TypeVar("T")


@overload
def track(name: str, /, *, owner: Any = ..., total: int | None = ...) -> Block: ...
@overload
def track(
    rows: Iterable[T] | AsyncIterable[T],
    name: str,
    /,
    *,
    owner: Any = ...,
    total: int | None = ...,
    commit_every: int | None = ...,
    using: str = ...,
) -> Loop[T]: ...


def track(
    rows_or_name: Any,
    name: str | None = None,
    /,
    *,
    owner: Any = INHERITED,
    total: int | None = None,
    commit_every: int | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> Any:
    """Track a block, ``with track("Import") as task``, or a loop, ``for row in track(rows, "Import")``.

    ``owner`` is a user, the key of one, or None; if it is not said, whom ``owned_by()`` says, or the owner of
    the work around this one. ``total`` is how many steps there are; a loop asks its rows for ``len()``.

    With ``commit_every`` a loop runs in transactions of so many rows of the database ``using``, and what it
    has done can be seen after each. A loop that is left early rolls back the one that is open. Raises
    ``RuntimeError`` inside another transaction, and ``TypeError`` or ``ValueError`` for what it cannot track.
    """
    if name is None:
        if not isinstance(rows_or_name, str):
            raise TypeError('Name it: track(rows, "Import").')
        if commit_every is not None:
            raise TypeError('commit_every is for loops: track(rows, "Import", commit_every=500).')
        return Block(rows_or_name, owner, lambda: total)
    if commit_every is not None and commit_every < 1:
        raise ValueError("commit_every is a number of rows, from 1.")
    make: Callable[[Callable[[], int | None]], Block] = partial(Block, name, owner)
    return Loop(rows_or_name, make, total, commit_every, using)
