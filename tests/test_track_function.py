"""@tracked: each call of a function is a task, and what can be tracked at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from realtime import track, tracked
from realtime.exceptions import InvalidValue
from realtime.models import Task
from tests.reporting import only

pytestmark = pytest.mark.usefixtures("at_once")


def test_each_call_of_a_tracked_function_is_a_task(make_user: Callable[..., Any]) -> None:
    """Named as said, owned as its arguments say, given to who asks; its result is what it returned."""

    @tracked("Import of rows", owner="user")
    def import_rows(user: Any, rows: int, *, task: Any = None) -> dict[str, int]:
        task.advance(rows)
        return {"rows": rows}

    user = make_user()
    assert import_rows(user, 3) == {"rows": 3}
    row = only()
    assert (row.name, row.owner, row.status, row.done, row.result) == (
        "Import of rows",
        user,
        "completed",
        3,
        {"rows": 3},
    )


def test_a_bare_decorator_needs_nothing() -> None:
    """The name is the function's; no task is passed to who does not ask; no JSON, no result; errors go on."""

    @tracked
    def clean_up(fails: bool = False) -> object:
        if fails:
            raise OSError("disk full")
        return object()

    clean_up()
    assert (only().name, only().status, only().result) == ("Clean up", "completed", None)
    with pytest.raises(OSError, match="disk full"):
        clean_up(fails=True)
    assert sorted(Task.objects.values_list("status", flat=True)) == ["completed", "failed"]


@pytest.mark.usefixtures("own_connections")
async def test_a_tracked_coroutine_function_is_one_still() -> None:
    """The owner by a callable; a task that the caller passes is left alone."""

    @tracked(owner=lambda request, **more: request["user"])
    async def build(request: dict[str, Any], task: Any) -> Any:
        return task

    assert asyncio.iscoroutinefunction(build)
    assert await build({"user": None}, task="mine") == "mine"
    given = await build({"user": None})
    assert isinstance(given, Task)
    assert await Task.objects.filter(status="completed", name="Build").acount() == 2


def test_a_partial_function_is_called_like_the_whole() -> None:
    """What is filled in already counts as the call's; async as well."""

    @tracked("Export", owner="user")
    def export(user: Any, rows: int) -> int:
        return rows

    def clean_up(rows: int) -> int:
        return rows

    async def build(rows: int) -> int:
        return rows

    assert tracked(partial(partial(clean_up), 3))() == 3
    assert asyncio.iscoroutinefunction(tracked(partial(build, 3)))
    assert (only().name, only().result) == ("Clean up", 3)
    assert partial(export, None)(rows=4) == 4


def test_methods_of_a_class_are_tracked_below_their_decorator() -> None:
    """Above it there is no function yet; that is said where it is written."""

    class Shop:
        @classmethod
        @tracked
        def count(cls) -> str:
            return cls.__name__

    assert Shop.count() == "Shop"
    assert only().result == "Shop"
    for wrap in (classmethod, staticmethod):
        for track_it in (tracked, tracked("Import")):
            with pytest.raises(TypeError, match=f"Put @{wrap.__name__} above @tracked"):
                track_it(wrap(len))


@pytest.mark.parametrize("thing", [5, [], property(len), object()])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    """With its kind."""
    with pytest.raises(TypeError, match=f"not for {type(thing).__name__}"):
        tracked(thing)


def test_what_cannot_be_tracked_is_refused_at_once() -> None:
    """Where it is written, with words that help."""
    with pytest.raises(TypeError, match="is a generator"):

        @tracked
        def rows() -> Iterator[int]:
            yield 1

    with pytest.raises(TypeError, match="has no parameter 'user'"):
        tracked("Import", owner="user")(lambda: None)
    with pytest.raises(TypeError, match="Name it"):
        track([1, 2])  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="is for loops"):
        track("Import", commit_every=2)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="from 1"):
        track([1], "Import", commit_every=0)
    with track("Import") as task, pytest.raises(InvalidValue):
        task.advance(-1)
