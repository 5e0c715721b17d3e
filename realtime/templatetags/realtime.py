"""``{% load realtime %}``: a task's progress and a page's broadcasts, live; of use without JavaScript too.

>>> {% realtime_scripts %}          in the head: the stylesheet and the elements
>>> {% task_progress task %}        a bar that moves
>>> {% broadcasts %}                the notices that this user is to see
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context
from django.urls import NoReverseMatch, get_script_prefix, reverse

from realtime import snapshots
from realtime.auth.identity import viewer_of
from realtime.events import FINAL
from realtime.models import Task

register = template.Library()

#: The word and the icon of each state; ``words.js`` has the same.
STATES = {
    "waiting": ("Waiting", "○"),
    "running": ("Running", "▶"),
    "cancelling": ("Cancelling", "◌"),
    "cancelled": ("Cancelled", "⊘"),
    "done": ("Completed", "✓"),
    "failed": ("Failed", "✕"),
}
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
    user = _user(context)
    options = {"socket": f"{get_script_prefix()}{socket.lstrip('/')}"}
    for name, view in _VIEWS.items():
        try:
            options[name] = reverse(f"realtime:{view}")
        except NoReverseMatch:  # the project mounts only some of the doors
            continue
    if user is not None:
        options["user"] = str(user.pk)
    return {"options": options}


@register.inclusion_tag("realtime/task_progress.html")
def task_progress(task: Task) -> dict[str, Any]:
    """A task's name, state and progress as they are now; then they move."""
    state = _state(task)
    percent = _percent(task)
    word, icon = STATES[state]
    shown = "" if percent is None or state == "waiting" else f"{percent} %"
    counted = f"{task.done:,} of {task.total:,}" if task.total else ""
    doing = ": ".join(filter(None, (task.phase, task.message)))
    return {
        "task": task,
        "state": state,
        "word": word,
        "icon": icon,
        "percent": percent,
        "text": " · ".join(filter(None, (counted, shown))),
        "message": task.error or ("" if task.status in FINAL else doing),
    }


@register.inclusion_tag("realtime/broadcasts.html", takes_context=True)
def broadcasts(context: Context) -> dict[str, Any]:
    """This user's notices that are in their window, the newest first; live from then on."""
    user = _user(context)
    return {"notices": [] if user is None else _notices(user)}


def _notices(user: Any) -> list[dict[str, Any]]:
    viewer, found = viewer_of(user), snapshots.load_notices()
    named = snapshots.load_named(viewer.user_id) if found.personal else []
    shown = []
    for event in found.of(viewer, named).values():
        message = event.data["message"]
        word, icon = LEVELS.get(message["level"], (message["level"], "•"))
        shown.append({**message, "word": word, "icon": icon, "sender": event.data.get("sender")})
    return shown


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
