"""``{% load realtime %}``: a task's progress and a page's broadcasts, live; of use without JavaScript too.

>>> {% realtime_scripts %}          in the head: the stylesheet and the elements
>>> {% task_progress task %}        a bar that moves
>>> {% task_list %}                 my tasks, the active ones first
>>> {% broadcasts %}                the notices that this user is to see
>>> {% task_fragment task %}        a task as HTMX is sent it
>>> {% events_url task %}           the address of the stream of such fragments
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import template
from django.template import Context
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils import timezone

from realtime import log, snapshots
from realtime.auth.identity import viewer_of
from realtime.conf import conf
from realtime.events import FINAL, rfc3339
from realtime.models import Task
from realtime.results import Result
from realtime.topics import MINE

register = template.Library()

#: The word of each state, whose name is also that of its icon; ``words.js`` has the same.
STATES = {
    "waiting": "Waiting",
    "running": "Running",
    "cancelling": "Cancelling…",
    "cancelled": "Cancelled",
    "done": "Completed",
    "failed": "Failed",
    "stale": "No news",
}
#: A running task without a report for so many seconds is shown as such, as by the elements.
STALE_AFTER = 120
#: The word of each level, and a sign for where no icon can stand.
LEVELS = {
    "info": ("Information", "ℹ"),
    "success": ("Success", "✓"),
    "warning": ("Warning", "⚠"),
    "critical": ("Critical", "‼"),
}
_NAMES = {"pending": "waiting", "completed": "done"}
#: The addresses that the client asks, by the names of our views.
_VIEWS = {
    "stream": "events",
    "polling": "api_events",
    "ticket": "ticket",
    "tasks": "tasks",
    "health": "healthz",
}


@register.inclusion_tag("realtime/scripts.html", takes_context=True)
def realtime_scripts(context: Context, socket: str = "ws") -> dict[str, Any]:
    """The stylesheet, the elements, and what they need to know of this page. Nothing of it is inline.

    ``socket`` is where the project serves the WebSocket, below its root.
    """
    user, options = _user(context), addresses(socket)
    if user is not None:
        options["user"] = str(user.pk)
        if token := context.get("csrf_token"):  # what a form of this page has too
            options["csrf"] = str(token)
    return {"options": options}


@register.inclusion_tag("realtime/task_progress.html", takes_context=True)
def task_progress(context: Context, task: Task, cancel: str = "", retry: str = "") -> dict[str, Any]:
    """A task's name, state and progress as they are now; then they move.

    ``cancel`` and ``retry`` are names of the project's own views, which take the task's id and a POST: then
    it has those buttons, without JavaScript as forms.
    """
    return {**shown(task, STALE_AFTER), **_doors(context, cancel, retry)}


@register.inclusion_tag("realtime/task_list.html", takes_context=True)
def task_list(
    context: Context,
    topic: str = MINE,
    label: str = "Tasks",
    empty: str = "No tasks yet.",
    cancel: str = "",
    retry: str = "",
    limit: int = 100,
    stale_after: int | None = None,
) -> dict[str, Any]:
    """The tasks of a topic, ``mine`` or ``tasks``, as they are now; then it is live.

    As in a snapshot: first those that are active, then those that ended in the last 24 hours, of each the
    newest first. One that ends stays in its place until the page is loaded anew. ``cancel`` and ``retry`` are
    as of ``task_progress``; ``stale_after`` is how many seconds a worker may be silent.
    """
    user, limit = _user(context), min(limit, conf.SNAPSHOT_LIMIT)
    found, more = ([], False) if user is None else snapshots.newest(topic, viewer_of(user), limit)
    return {
        "topic": topic,
        "label": label,
        "empty": empty,
        "limit": limit,
        "stale_after": stale_after,
        "items": [shown(task, stale_after or STALE_AFTER) for task in found],
        "truncated": more,
        **_doors(context, cancel, retry),
    }


@register.inclusion_tag("realtime/broadcasts.html", takes_context=True)
def broadcasts(context: Context) -> dict[str, Any]:
    """This user's notices that are in their window, the newest first; live from then on."""
    user = _user(context)
    return {"notices": [] if user is None else _notices(user)}


@register.inclusion_tag("realtime/fragments/task.html")
def task_fragment(task: Task) -> dict[str, Any]:
    """A task as the stream of HTML sends it after each change, for the page's first rendering."""
    return fragment(task)


@register.simple_tag
def events_url(tasks: Task | Iterable[Task] = (), topic: str = "", position: int | None = None) -> str:
    """The address of the stream of HTML for a task, several, or a topic, behind what the page shows.

    ``position`` is ``log.position()`` as it was before the view read what it shows. Without it the tag
    compares tasks with their rows: if the page is not behind, the stream begins here. If it is, and for a
    topic, it begins with everything as it is.
    """
    shown_tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
    if position is None and shown_tasks and not topic:
        position = _position_of(shown_tasks)
    asked: list[tuple[str, object]] = [("format", "html"), *(("task_id", task.pk) for task in shown_tasks)]
    asked += [("topic", topic)] if topic else []
    asked += [("last_event_id", position)] if position is not None else []
    return f"{reverse('realtime:events')}?{urlencode(asked)}"


def addresses(socket: str = "ws") -> dict[str, str]:
    """Return where the client finds each door, as far as the project has mounted it.

    They are below the script's prefix, as the page is that they are written into.
    """
    found = {"socket": f"{get_script_prefix()}{socket.lstrip('/')}"}
    for name, view in _VIEWS.items():
        try:
            found[name] = reverse(f"realtime:{view}")
        except NoReverseMatch:
            continue
    return found


def _position_of(tasks: list[Task]) -> int | None:
    """Return a position up to which these instances hold all changes; None when one of them is stale."""
    position = log.position()
    rows = Task.objects.using(log.database()).filter(pk__in=[task.pk for task in tasks])
    versions = dict(rows.values_list("pk", "version"))
    return position if all(task.version == versions.get(task.pk) for task in tasks) else None


def fragment(task: Task) -> dict[str, Any]:
    """Return what ``realtime/fragments/task.html`` is given, in a page and on the stream."""
    return {**shown(task), "actions": False}


def _notices(user: Any) -> list[dict[str, Any]]:
    viewer, found = viewer_of(user), snapshots.load_notices()
    named = snapshots.load_named(viewer.user_id) if found.personal else []
    events = found.of(viewer, named).values()
    return [shown_notice(timestamp=event.timestamp, **event.data) for event in events]


def shown_notice(
    broadcast_id: str, timestamp: str, message: dict[str, Any], sender: str | None = None, **_: Any
) -> dict[str, Any]:
    """Return what the templates write of a notice, given its event's fields; ``timestamp`` is RFC 3339."""
    word, _sign = LEVELS.get(message["level"], (message["level"], ""))
    sent_at = datetime.fromisoformat(timestamp)
    return {**message, "id": broadcast_id, "word": word, "sender": sender, "sent_at": sent_at}


def shown(task: Task, stale_after: float | None = None) -> dict[str, Any]:
    """Return what the templates write of a task; with ``stale_after``, also that its worker is silent."""
    state = _state(task)
    silent = timezone.now() - task.updated_at
    if state == "running" and stale_after is not None and silent > timedelta(seconds=stale_after):
        state = "stale"
    percent = _percent(task)
    part = "" if percent is None or state == "waiting" else f"{percent} %"
    counted = f"{task.done:,} of {task.total:,}" if task.total else ""
    uncounted = f"{task.done:,} so far" if task.done and not (task.total or task.status in FINAL) else ""
    doing = ": ".join(filter(None, (task.phase, task.message)))
    return {
        "task": task,
        "active": task.status not in FINAL,
        "created": rfc3339(task.created_at),
        "state": state,
        "word": STATES[state],
        "percent": percent,
        "text": " · ".join(filter(None, (counted or uncounted, part))),
        "message": task.error or ("" if task.status in FINAL else doing),
        "result": Result.of(task.result) if state == "done" else None,
        "may_cancel": state in ("waiting", "running", "stale"),
        "may_retry": state in ("failed", "cancelled"),
    }


def _doors(context: Context, cancel: str, retry: str) -> dict[str, Any]:
    """Return the names of views that forms post to; inclusion tags have their own context."""
    token = context.get("csrf_token")
    return {"cancel_view": cancel, "retry_view": retry, "csrf_token": token, "actions": bool(cancel or retry)}


def _user(context: Context) -> Any:
    """Return who looks at the page, or None when nobody is logged in or the template does not know."""
    user = getattr(context.get("request"), "user", None) or context.get("user")
    return user if getattr(user, "is_authenticated", False) else None


def _state(task: Task) -> str:
    if task.status == "running" and task.cancel_requested_at:
        return "cancelling"
    return _NAMES.get(task.status, task.status)


def _percent(task: Task) -> int | None:
    """Return whole percent, 100 only at the end; None when nobody knows how far a running task is."""
    if task.status == "completed":
        return 100
    if not task.total and not task.progress:
        return None if task.status == "running" else 0
    return min(99, max(0, int(task.progress)))
