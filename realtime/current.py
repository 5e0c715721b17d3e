"""What this code works on, and for whom: known to whatever it calls, in a thread or an async task.

:func:`realtime.tracking.track` and the queues' integrations enter here the task that runs. So a helper deep
inside can report, and what it starts belongs to the same user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from realtime.models.task import Task


class Scope(NamedTuple):
    """The task that this code works on, if any, and the key of the user to whom new ones belong."""

    task: Task | None = None
    owner_id: Any = None


_scope: ContextVar[Scope] = ContextVar("realtime_scope", default=Scope())  # noqa: B039 (a tuple of constants)


def current_task() -> Task | None:
    """Return the innermost tracked task that this code runs in, or None."""
    return _scope.get().task


def current_owner() -> Any:
    """Return the key of the user to whom a task belongs that names no owner, or None for nobody.

    Said by :func:`owned_by`; else the owner of the task that this code runs in.
    """
    return _scope.get().owner_id


def owner_key(owner: Any) -> Any:
    """Return the key of a user, or of a key itself; None for nobody, as for an anonymous user."""
    return getattr(owner, "pk", None) if hasattr(owner, "is_authenticated") else owner


@contextmanager
def owned_by(owner: Any) -> Iterator[None]:
    """Let what begins in this block, here or in a queue, belong to a user (or the key of one), or to nobody.

    with owned_by(request.user):
        import_orders.delay(path)
    """
    before = _scope.get()
    _scope.set(Scope(before.task, owner_key(owner)))
    try:
        yield
    finally:
        _scope.set(before)


def enter(task: Task) -> Scope:
    """Work on this task from now on; return what to hand to :func:`leave`."""
    before = _scope.get()
    _scope.set(Scope(task, task.owner_id))
    return before


def leave(task: Task, before: Scope) -> None:
    """Work on it no more. Does nothing where somebody else's work goes on.

    A generator that was dropped ends whenever, and wherever, it is collected.
    """
    if _scope.get().task is task:
        _scope.set(before)
