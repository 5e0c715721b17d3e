"""A function that is a task each time it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, overload

from realtime.exceptions import InvalidValue
from realtime.models.transitions import clean_json
from realtime.tracking.block import INHERITED, Block

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], Callable[..., Any]]

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@overload
def tracked(function: F, /) -> Callable[..., Any]: ...
@overload
def tracked(name: str | None = ..., /, *, owner: Any = ...) -> Decorator[Any]: ...


def tracked(name: Any = None, /, *, owner: Any = INHERITED) -> Any:
    """Make each call of a function a task: ``@tracked``, ``@tracked("Import", owner="user")``.

    The name is that of the function if none is said. ``owner`` is the name of the argument that holds the
    user, or a callable that takes the call's arguments and returns him; else as in ``track()``. A function
    that has a parameter ``task`` is given the task, unless the caller gives one. What it returns is the
    result of the task when JSON can hold it. Works for ``async def`` and ``functools.partial``. Raises
    ``TypeError`` for what is no function, for generators, which do nothing yet when they are called, and for
    an ``owner`` that is no parameter.
    """
    if name is None or isinstance(name, str):
        return lambda function: _track_calls(function, name or "", owner)
    return _track_calls(name, "", INHERITED)


def as_result(value: Any) -> Any:
    """Return what a function returned as the result of its task; None for what JSON cannot hold."""
    try:
        return clean_json(value)
    except InvalidValue:
        return None


def _track_calls(function: Callable[..., Any], name: str, owner: Any) -> Callable[..., Any]:
    own_name = _name_of(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{own_name}() is a generator: track the loop that runs it.")
    signature = inspect.signature(function)
    if isinstance(owner, str) and owner not in signature.parameters:
        raise TypeError(f"{own_name}() has no parameter {owner!r}.")
    given = signature.parameters.get("task")
    wants_task = given is not None and given.kind in _BY_NAME
    name = name or own_name.replace("_", " ").strip().capitalize()

    def block(args: Any, kwargs: Any) -> Block:
        return Block(name, _owner(owner, signature, args, kwargs), lambda: None)

    def arguments(task: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        if not wants_task or "task" in signature.bind_partial(*args, **kwargs).arguments:
            return dict(kwargs)
        return {**kwargs, "task": task}

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with (tracking := block(args, kwargs)) as task:
            value = function(*args, **arguments(task, args, kwargs))
            tracking.result = as_result(value)
        return value

    @wraps(function)
    async def acall(*args: Any, **kwargs: Any) -> Any:
        async with (tracking := block(args, kwargs)) as task:
            value = await function(*args, **arguments(task, args, kwargs))
            tracking.result = as_result(value)
        return value

    return acall if inspect.iscoroutinefunction(function) else call


def _name_of(function: Any) -> str:
    """Return what a function is called, of a partial one the whole. Raises ``TypeError`` for what is none."""
    if isinstance(function, classmethod | staticmethod):
        kind = type(function).__name__
        raise TypeError(f"Put @{kind} above @tracked: a {kind} is no function yet.")
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str):
        raise TypeError(f"@tracked is for functions, not for {type(function).__name__}.")
    return name


def _owner(owner: Any, signature: inspect.Signature, args: Any, kwargs: Any) -> Any:
    if isinstance(owner, str):
        bound = signature.bind_partial(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments.get(owner)
    return owner(*args, **kwargs) if callable(owner) else owner
