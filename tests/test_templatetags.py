"""The template tags: what a page shows of tasks and broadcasts before, or without, its scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from realtime import broadcasts
from realtime.models import Task
from tests.policy import INLINE
from tests.tags import render

SCRIPT = "<script>alert(1)</script>"
COUNTED = "520 of 1,300 · 40 %"


def progress(task: Task) -> str:
    """Render a task's progress, its white space folded."""
    return " ".join(render("{% task_progress task %}", task=task).split())


@pytest.mark.parametrize(
    ("fields", "state", "value", "text"),
    [
        ({}, "waiting", "0", ""),
        ({"status": "running", "progress": 40, "total": 1300, "done": 520}, "running", "40", COUNTED),
        ({"status": "running"}, "running", None, ""),
        ({"status": "running", "updated_at": datetime(2026, 1, 1, tzinfo=UTC)}, "stale", None, ""),
        ({"status": "running", "done": 1300}, "running", None, "1,300 so far"),
        ({"status": "running", "progress": 100}, "running", "99", "99 %"),
        ({"status": "completed", "progress": 100}, "done", "100", "100 %"),
        ({"status": "failed", "progress": 30}, "failed", "30", "30 %"),
        ({"status": "cancelled", "progress": 30}, "cancelled", "30", "30 %"),
    ],
)
def test_a_task_is_shown_as_it_is(fields: dict[str, Any], state: str, value: str | None, text: str) -> None:
    """State by icon and word, progress by bar and text; never full before the end, none when unknown."""
    html = progress(Task(name="Import", **fields))
    assert f'data-state="{state}"' in html
    found = re.search(r'<progress max="100"(?: value="(\d+)")?', html)
    assert found is not None
    assert found[1] == value
    assert f'<span class="rt-text">{text}</span>' in html


def test_a_task_that_is_asked_to_stop_says_so(engine: str, make_user: Callable[..., Any]) -> None:
    """It runs still, and will not for long."""
    task = Task.objects.create(name="Export", owner=make_user())
    task.start()
    task.cancel()
    task.refresh_from_db()
    assert f'task-id="{task.pk}" data-state="cancelling"' in progress(task)


def test_whatever_a_task_says_is_text() -> None:
    """Markup in a name, a phase, a message or an error does nothing, nor a quotation mark."""
    task = Task(name=f'"{SCRIPT}', status="running", phase=SCRIPT, message=SCRIPT)
    assert "<script" not in progress(task)
    task.status, task.error = "failed", SCRIPT
    assert "<script" not in progress(task)
    assert progress(task).count("&lt;script&gt;") == 3
    assert '"&quot;&lt;script&gt;' in progress(task)


def test_the_notices_of_this_user_are_there_before_any_script(
    engine: str, make_user: Callable[..., Any]
) -> None:
    """With level, title and sender, as text; those for others are not, nor any for who is not logged in."""
    user, other = make_user(), make_user()
    first = broadcasts.send(f"At ten.{SCRIPT}", title="Maintenance", level="warning", sender=other)
    personal = broadcasts.send("For you.", audience={"kind": "users", "users": [user.pk]})
    broadcasts.send("For another.", audience={"kind": "users", "users": [other.pk]})
    gone = broadcasts.send("Taken back.")
    broadcasts.retract(gone)
    html = render("{% broadcasts %}", user)
    assert html.index("For you.") < html.index("At ten.")
    assert "Warning" in html
    assert "Maintenance" in html
    assert f"From {other.username} · {datetime.now(UTC):%Y-%m-%d}" in html
    assert re.findall(r'data-id="([^"]+)"', html) == [str(personal.pk), str(first.pk)]
    assert "another" not in html
    assert "Taken back" not in html
    assert "<script" not in html
    assert "rt-notice" not in render("{% broadcasts %}")


def test_the_scripts_are_files_of_the_site(engine: str, make_user: Callable[..., Any]) -> None:
    """The stylesheet, the elements, and what they need to know; nothing inline, nothing from elsewhere."""
    user = make_user()
    html = render("{% realtime_scripts %}", user)
    assert '<script type="module" src="/static/realtime/elements.js"></script>' in html
    assert '<link rel="stylesheet" href="/static/realtime/realtime.css">' in html
    assert f'<meta name="realtime-user" content="{user.pk}">' in html
    assert '<meta name="realtime-socket" content="/ws">' in html
    assert '<meta name="realtime-stream" content="/events">' in html
    assert "//" not in html
    assert "realtime-user" not in render("{% realtime_scripts %}")


@pytest.mark.requirement("K19")
def test_nothing_that_the_tags_write_is_inline(engine: str, make_user: Callable[..., Any]) -> None:
    """No script, style or handler in the page itself."""
    user = make_user()
    task = Task.objects.create(name="Import", owner=user)
    broadcasts.send("At ten.")
    html = render("{% realtime_scripts %}{% broadcasts %}{% task_progress task %}", user, task=task)
    assert INLINE.findall(html) == []
