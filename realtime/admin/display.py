"""How a task looks in the admin: an icon and a word, a bar with its text, its pace, lengths of time.

The same elements are filled by ``static/realtime/admin/cells.js`` when the task moves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html

from realtime.events import COMPLETED, RUNNING, rfc3339
from realtime.models import Task
from realtime.templatetags.realtime import STALE_AFTER

ICONS = "realtime/admin/icons.svg"
#: Between a number and its unit, which stand on one line.
NBSP = "\N{NO-BREAK SPACE}"


def state(task: Task) -> str:
    """Return the task's status, or ``cancelling`` where its worker has been asked to stop."""
    return "cancelling" if task.status == RUNNING and task.cancel_requested_at else task.status


def status(task: Task) -> str:
    """Return the status as an icon and a word: the colour alone would tell some people nothing."""
    return badge(state(task), task.pk)


def badge(key: str, task_id: object = "") -> str:
    """Return the icon and the word of a state."""
    return format_html(
        '<span class="rt-status" data-status="{}" data-task="{}">'
        '<svg class="rt-icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>'
        '<span class="rt-word">{}</span></span>',
        key,
        task_id,
        static(ICONS),
        key,
        key.capitalize(),
    )


def percent(task: Task) -> int:
    """Return whole percent; 100 only of what is completed, for a full bar promises an end."""
    return 100 if task.status == COMPLETED else min(task.progress, 99)


def progress_text(task: Task) -> str:
    """Return the progress in words: percent, how many of how many, and the phase."""
    count = f"{task.done:,} of {task.total:,}" if task.total is not None else ""
    if task.total is None and task.done:
        count = f"{task.done:,}"
    shown = "" if unknown(task) else f"{percent(task)} %"
    return " · ".join(part for part in (shown, count, task.phase) if part) or "working"


def unknown(task: Task) -> bool:
    """Tell whether a running task has said nothing of which a share could be known."""
    return task.status == RUNNING and not task.progress and not task.total


def progress(task: Task) -> str:
    """Return a bar with its text; a bar without a value is one whose end nobody knows.

    Below it stands for how long a running task has been silent, once that is long.
    """
    value = "" if unknown(task) else format_html(' value="{}"', percent(task))
    return format_html(
        '<span class="rt-progress" data-status="{}">'
        '<progress max="100"{} aria-label="Progress of {}"></progress>'
        '<span class="rt-text">{}</span><span class="rt-silence" data-after="{}"{}>{}</span></span>',
        state(task),
        value,
        task.name,
        progress_text(task),
        str(STALE_AFTER),
        format_html(' data-since="{}"', rfc3339(task.updated_at)) if state(task) == RUNNING else "",
        silence(task),
    )


def silent_before() -> datetime:
    """Return the time since when a running task should have reported something."""
    return timezone.now() - timedelta(seconds=STALE_AFTER)


def silence(task: Task) -> str:
    """Return for how long a running task has told nothing; "" when that is not long, or it is to stop."""
    if state(task) != RUNNING or task.updated_at >= silent_before():
        return ""
    return f"No news for {rough((timezone.now() - task.updated_at).total_seconds())}"


def pace(task: Task) -> str:
    """Return how fast a task is, and of a running one how long yet: “5.2 per s · about 2 min left”.

    What nobody knows is left out; of a task that is silent both would be guessed.
    """
    if silence(task):
        return ""
    known, parts = task.pace, []
    if known.throughput:
        parts.append(_rate(known.throughput))
    if state(task) == RUNNING and known.eta is not None:
        parts.append(f"about {rough(known.eta)} left")
    return " · ".join(parts)


def _rate(per_second: float) -> str:
    units = ((1, "s"), (60, "min"), (3600, "h"))
    seconds, unit = next((each for each in units if per_second * each[0] >= 1), units[-1])
    rate = per_second * seconds
    return f"{rate:,.0f} per {unit}" if rate >= 10 else f"{rate:.1f} per {unit}"


def moment(at: datetime | None, word: str = "–") -> str:
    """Return a time in the zone of the page."""
    if at is None:
        return word
    text = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}"
    return format_html('<time class="rt-time" datetime="{}">{}</time>', rfc3339(at), text)


def lasted(task: Task) -> str:
    """Return how long the task has been running, or ran; it goes on in the browser."""
    if task.started_at is None:
        return format_html('<span class="rt-duration">{}</span>', "–")
    seconds = ((task.finished_at or timezone.now()) - task.started_at).total_seconds()
    return format_html(
        '<span class="rt-duration" data-from="{}"{}>{}</span>',
        rfc3339(task.started_at),
        format_html(' data-to="{}"', rfc3339(task.finished_at)) if task.finished_at else "",
        length(seconds),
    )


def time_column(name: str, label: str) -> Callable[..., str]:
    """Return a method of an admin that shows a time of a row in the one form that all our pages have."""

    @admin.display(description=label, ordering=name)
    def shown(self: object, row: Any) -> str:
        return moment(getattr(row, name))

    return shown


def length(seconds: float) -> str:
    """Return a length of time in its two largest units: “1 min 5 s”."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days}{NBSP}d {hours % 24}{NBSP}h"
    if hours:
        return f"{hours}{NBSP}h {minutes % 60}{NBSP}min"
    return f"{minutes}{NBSP}min {whole % 60}{NBSP}s" if minutes else f"{whole}{NBSP}s"


def rough(seconds: float) -> str:
    """Return a length of time without the seconds, once it has minutes: “5 min”."""
    minutes = round(max(0.0, seconds)) // 60
    return f"{minutes}{NBSP}min" if 0 < minutes < 60 else length(seconds)
