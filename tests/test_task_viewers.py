"""Who sees an event of a task: its owner, and who may view all; the same rule live and at replay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.events import INTERNAL_KINDS, KINDS, OF_TASKS, LogEvent, Viewer
from realtime.models import Event
from realtime.replay import visible

USERS = st.sampled_from(["1", "2", "11"])
OWNERS = st.sampled_from(["", "1", "2", "11"])


def event(kind: str = "task_update", owner: str = "", previous: str = "") -> LogEvent:
    """An event of a task with that owner and, if it was given away, the one before."""
    return LogEvent(1, kind, "", task_id="t", owner=owner, previous_owner=previous)


@pytest.mark.requirement("T3")
@pytest.mark.parametrize(
    ("viewer", "seen", "lost"),
    [
        (Viewer("1"), True, True),
        (Viewer("2"), True, False),
        (Viewer("3"), False, False),
        (Viewer("1", view_all=True), True, False),
        (Viewer("3", view_all=True), True, False),
    ],
    ids=["previous owner", "new owner", "stranger", "previous owner who sees all", "who sees all"],
)
def test_a_task_that_is_given_away(viewer: Viewer, seen: bool, lost: bool) -> None:
    """The previous owner sees it go, unless he may view all; the new one sees it come."""
    given_away = event(owner="2", previous="1")
    assert (viewer.sees(given_away), viewer.loses(given_away)) == (seen, lost)


@pytest.mark.requirement("T3")
@given(USERS, OWNERS, OWNERS, st.sampled_from(sorted(KINDS)))
def test_nobody_sees_a_strangers_task(user: str, owner: str, previous: str, kind: str) -> None:
    """Without the permission only one's own; an internal event nobody, not even who sees all."""
    this = event(kind, owner, previous)
    if kind in OF_TASKS:
        assert Viewer(user).sees(this) == (user in (owner, previous))
        assert Viewer(user, view_all=True).sees(this)
    elif kind in INTERNAL_KINDS:
        assert not Viewer(user).sees(this)
        assert not Viewer(user, view_all=True).sees(this)
    else:
        assert Viewer(user).sees(this)


@pytest.mark.requirement("T3")
@given(USERS, OWNERS, OWNERS, st.booleans())
def test_who_loses_a_task_has_seen_it_and_owns_it_no_more(
    user: str, owner: str, previous: str, view_all: bool
) -> None:
    """task_removed goes to nobody who could still see the task, and to nobody who could not."""
    viewer, this = Viewer(user, view_all), event(owner=owner, previous=previous)
    if viewer.loses(this):
        assert viewer.sees(this)
        assert not viewer.sees(event(owner=owner))


@pytest.mark.requirement("T3")
def test_live_and_replay_agree(engine: str) -> None:
    """The log's filter finds exactly the events that the viewer sees."""
    for kind in sorted(KINDS):
        for owner in ("", "1", "2"):
            for previous in ("", "1", "2"):
                Event.objects.create(
                    kind=kind, owner=owner, previous_owner=previous, created_at="2026-01-01T00:00:00Z"
                )
    for viewer in (Viewer("1"), Viewer("2"), Viewer("3"), Viewer("1", view_all=True)):
        seen = {row.pk for row in Event.objects.all() if viewer.sees(row.as_log_event())}
        # Nobody subscribes to internal events: no key matches them.
        found = Event.objects.filter(visible(viewer)).exclude(kind__in=INTERNAL_KINDS)
        assert {row.pk for row in found} == seen
