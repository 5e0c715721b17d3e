"""What this code works on, and for whom: known to whatever it calls, in a thread or an async task.

:func:`realtime.tracking.track` and the queues' integrations enter here the task that runs. So a helper deep
inside can report, and what it starts belongs to the same user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime.models.task import Task


class Scope:
    """Work on a task, or for a user, inside other work. Over when it is left, whatever still refers to it.

    Contexts are copied for every async task and every thread, and no copy can be reset: what is left is
    marked.
    """

    __slots__ = ("left", "outside", "owner_id", "task")

    def __init__(self, task: Task | None = None, owner_id: Any = None, outside: Scope | None = None) -> None:
        """``owner_id`` is the key of the user to whom new tasks belong; no ``task`` means that outside."""
        self.task, self.owner_id, self.outside = task, owner_id, outside
        self.left = False


_scope: ContextVar[Scope | None] = ContextVar("realtime_scope", default=None)


def _innermost() -> Scope | None:
    """Return the innermost scope that is not over; forget those that are."""
    now = found = _scope.get()
    while found is not None and found.left:
        found = found.outside
    if found is not now:
        _scope.set(found)
    return found


def current_task() -> Task | None:
    """Return the innermost tracked task that this code runs in, or None."""
    scope = _innermost()
    while scope is not None and (scope.task is None or scope.left):
        scope = scope.outside
    return None if scope is None else scope.task


def current_owner() -> Any:
    """Return the key of the user to whom a task belongs that names no owner, or None for nobody.

    Said by :func:`owned_by`; else the owner of the task that this code runs in.
    """
    scope = _innermost()
    return None if scope is None else scope.owner_id


def owner_key(owner: Any) -> Any:
    """Return the key of a user, or of a key itself; None for nobody, as for an anonymous user."""
    return getattr(owner, "pk", None) if hasattr(owner, "is_authenticated") else owner


@contextmanager
def owned_by(owner: Any) -> Iterator[None]:
    """Let what begins in this block, here or in a queue, belong to a user (or the key of one), or to nobody.

    with owned_by(request.user):
        import_orders.delay(path)
    """
    scope = _begin(None, owner_key(owner))
    try:
        yield
    finally:
        _end(scope)


def enter(task: Task) -> Scope:
    """Work on this task from now on; return what to hand to :func:`leave`."""
    return _begin(task, task.owner_id)


def leave(task: Task, entered: Scope) -> None:
    """Work on it no more, here and wherever this context was copied to. Somebody else's work goes on.

    A generator that was dropped ends whenever, and wherever, it is collected. Safe to call twice.
    """
    assert entered.task is task
    _end(entered)


def _begin(task: Task | None, owner_id: Any) -> Scope:
    scope = Scope(task, owner_id, _innermost())
    _scope.set(scope)
    return scope


def _end(scope: Scope) -> None:
    scope.left = True
    _innermost()
