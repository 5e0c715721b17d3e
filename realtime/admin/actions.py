"""What staff may do to tasks, and the page that says beforehand what will be done, what not, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from realtime.events import CANCELLED, FAILED, FINAL, PENDING, RUNNING
from realtime.exceptions import IllegalTransition
from realtime.models import Task

#: How many tasks the page names, of those that share a fate.
NAMED = 10
#: What the owner of a task is told that was marked as failed by hand.
MARKED = "Marked as failed by staff."


class Deed(NamedTuple):
    """One action: its name, its words, what it would do, and the doing."""

    action: str
    title: str
    button: str
    #: The button that does it, for so many tasks.
    confirm: str
    warning: str
    #: Says what would be done; raises ``IllegalTransition`` that says why not.
    plan: Callable[[Task], str]
    #: Does it; returns what was done, the task to show then, and the entry for the admin's history.
    do: Callable[[Task], tuple[str, Task, str]]


def _plan_cancel(task: Task) -> str:
    if task.status == CANCELLED or (task.status == RUNNING and task.cancel_requested_at):
        raise IllegalTransition(message="It has been cancelled before.")
    if task.status in FINAL:
        raise IllegalTransition(message=f"A {task.status} task cannot be cancelled.")
    return "Cancelled at once" if task.status == PENDING else "Asked to stop"


def _cancel(task: Task) -> tuple[str, Task, str]:
    _plan_cancel(task)
    task.cancel()
    return "Cancelled" if task.status == CANCELLED else "Asked to stop", task, "Cancelled."


def _plan_retry(task: Task) -> str:
    if task.status not in FINAL:
        raise IllegalTransition(message=f"A {task.status} task cannot be retried.")
    return "Made anew, as a pending task"


def _retry(task: Task) -> tuple[str, Task, str]:
    return "Retried", task.retry(), f"Retry of {task.pk}."


def _plan_fail(task: Task) -> str:
    if task.status in FINAL:
        raise IllegalTransition(message=f"A {task.status} task cannot become {FAILED}.")
    return "Marked as failed"


def _fail(task: Task) -> tuple[str, Task, str]:
    task.fail(MARKED)
    return "Marked as failed", task, "Marked as failed."


DEEDS = {
    deed.action: deed
    for deed in (
        Deed(
            "cancel_selected",
            "Cancel tasks",
            "Cancel",
            "Cancel {}",
            "A running task is asked to stop and ends when its worker next reports.",
            _plan_cancel,
            _cancel,
        ),
        Deed(
            "retry_selected",
            "Retry tasks",
            "Retry",
            "Retry {}",
            "Each becomes a new task with its name, owner and total; the old one stays as it is.",
            _plan_retry,
            _retry,
        ),
        Deed(
            "fail_selected",
            "Mark tasks as failed",
            "Mark as failed",
            "Mark {} as failed",
            "For tasks whose worker is gone. A worker that still lives is stopped by its next report, "
            "and its result is lost.",
            _plan_fail,
            _fail,
        ),
    )
}


def allowed(deed: Deed, task: Task) -> bool:
    """Tell whether it can be done to this task as it is now."""
    try:
        deed.plan(task)
    except IllegalTransition:
        return False
    return True


def forecast(deed: Deed, tasks: Iterable[Task]) -> dict[str, Any]:
    """Return what would happen to each: ``done`` and ``skipped``, by what or by why, the first ones named."""
    done: dict[str, list[Task]] = {}
    skipped: dict[str, list[Task]] = {}
    for task in tasks:
        try:
            done.setdefault(deed.plan(task), []).append(task)
        except IllegalTransition as error:
            skipped.setdefault(error.message, []).append(task)
    count = sum(map(len, done.values()))
    return {
        "deed": deed,
        "action": deed.action,
        "confirm": deed.confirm.format(f"{count:,} task{'' if count == 1 else 's'}"),
        "done": [_group(what, some) for what, some in done.items()],
        "skipped": [_group(why, some) for why, some in skipped.items()],
        "ids": [str(task.pk) for some in (*done.values(), *skipped.values()) for task in some],
    }


def _group(words: str, tasks: list[Task]) -> dict[str, Any]:
    return {"words": words, "count": len(tasks), "tasks": tasks[:NAMED], "more": len(tasks[NAMED:])}
