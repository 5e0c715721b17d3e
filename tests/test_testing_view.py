"""The reference client of the tests: what it keeps, drops, and notices as broken."""

from typing import Any

import pytest

from realtime.testing.view import View

Frame = dict[str, Any]
CONNECTED: Frame = {"type": "connected", "user_id": "1"}


def update(task_id: str, version: int, position: int | None = None, owner: str = "1") -> Frame:
    """A `task_update`: an event with its position, or a row of a snapshot without one."""
    row = {"task_id": task_id, "version": version, "owner": owner}
    frame: Frame = {"type": "task_update", "task_id": task_id, "data": row}
    return frame | ({"snapshot": True} if position is None else {"id": position})


def subscribed(position: int, *task_ids: str, topics: str = "", **fields: Any) -> Frame:
    return {
        "type": "subscribed",
        "id": position,
        "position": position,
        "task_ids": list(task_ids),
        "topics": topics.split(),
        **fields,
    }


def gone(kind: str, task_id: str, version: int, position: int) -> Frame:
    return {"type": kind, "task_id": task_id, "version": version, "id": position}


def versions(view: View) -> dict[str, int]:
    return {task_id: row["version"] for task_id, row in view.rows.items()}


@pytest.fixture
def view() -> View:
    """A client that holds its tasks a (version 3) and b (version 1) at position 10."""
    start = [CONNECTED, update("a", 3), update("b", 1), subscribed(10, topics="mine broadcasts")]
    return View().feed_all(start)


def test_snapshot_then_events(view: View) -> None:
    """A snapshot and the events after it give the current rows, and the cursor follows the ids."""
    view.feed_all([update("a", 4, 11), update("c", 1, 13), {"type": "heartbeat", "id": 15}])
    assert versions(view) == {"a": 4, "b": 1, "c": 1}
    assert (view.cursor, view.positions, view.violations) == (15, [11, 13], [])


def test_snapshot_cut_off_is_forgotten() -> None:
    """Rows of a snapshot that was cut off before `subscribed` are not held, and leave no cursor."""
    view = View().feed_all([CONNECTED, update("a", 3), CONNECTED, subscribed(10, topics="mine")])
    assert (view.rows, view.violations) == ({}, [])
    assert View().feed_all([CONNECTED, update("a", 3)]).resume().get("after") is None


def test_snapshot_replaces_what_was_held_of_it(view: View) -> None:
    """A new snapshot removes what it does not contain, and leaves other subscriptions alone."""
    view.feed_all([update("x", 1, None, owner="2"), subscribed(11, "x")])
    view.feed_all([update("b", 2), subscribed(12, topics="mine")])
    assert versions(view) == {"b": 2, "x": 1}


def test_snapshot_row_counts_at_once_for_acknowledged_subscriptions(view: View) -> None:
    """From a snapshot cut off, a client keeps what an acknowledged subscription covers."""
    view.feed_all([update("a", 9), update("z", 1, None, owner="2"), CONNECTED])
    assert versions(view) == {"a": 9, "b": 1}


def test_older_version_after_a_resume_is_dropped(view: View) -> None:
    """A resume may replay what a snapshot contained: the newer row stays, no promise is broken."""
    view.feed_all([CONNECTED, update("a", 2, 11), update("a", 3, 12)])
    view.feed(subscribed(12, topics="mine", recovered=True))
    assert (versions(view), view.violations) == ({"a": 3, "b": 1}, [])


def test_older_version_on_the_same_connection_is_a_violation(view: View) -> None:
    """On the connection of the snapshot the server suppresses what it contained."""
    view.feed(update("a", 3, 11))
    assert versions(view)["a"] == 3
    assert len(view.violations) == 1


def test_removed_and_deleted_tasks_go(view: View) -> None:
    """A task given away or deleted goes; an older removal after a resume is not believed."""
    view.feed_all([gone("task_removed", "a", 4, 11), gone("task_deleted", "b", 1, 12)])
    assert (view.rows, view.violations) == ({}, [])
    view.feed_all([update("c", 9, 13), CONNECTED, gone("task_removed", "c", 8, 14)])
    assert versions(view) == {"c": 9}


def test_deleted_task_cannot_come_back(view: View) -> None:
    """Anything about a task after its deletion is a violation."""
    view.feed_all([gone("task_deleted", "b", 1, 11), update("b", 2, 12)])
    assert len(view.violations) == 1


def test_task_of_another_owner_leaves_mine(view: View) -> None:
    """A task given to somebody else leaves `mine`, but not a subscription to the task itself."""
    view.feed_all([update("b", 1), subscribed(11, "b")])
    view.feed_all([update("a", 4, 12, owner="2"), update("b", 2, 13, owner="2")])
    assert (versions(view), view.violations) == ({"b": 2}, [])


def test_unsubscribed_drops_what_nothing_else_covers(view: View) -> None:
    """The end of a subscription takes its rows with it, except those of another subscription."""
    view.feed_all([update("a", 3), subscribed(10, "a")])
    view.feed({"type": "unsubscribed", "id": 10, "task_ids": [], "topics": ["mine"]})
    assert versions(view) == {"a": 3}
    assert view.resume()["task_ids"] == ["a"]


@pytest.mark.parametrize("done_last", [True, False])
def test_done_ends_the_subscription_to_a_task(done_last: bool) -> None:
    """`done` before or after `subscribed` ends the subscription and keeps the final row apart."""
    done: Frame = {"type": "done", "task_id": "a"}
    order = [subscribed(10, "a", topics="broadcasts"), done]
    view = View().feed_all([CONNECTED, update("a", 5), *(order if done_last else order[::-1])])
    assert (view.rows, view.task_ids, view.violations) == ({}, set(), [])
    assert view.finished["a"]["version"] == 5


def test_reset_drops_cursor_and_rows(view: View) -> None:
    """After a reset the client holds nothing until `subscribed`, and a cut starts it afresh."""
    view.feed_all([{"type": "reset", "reason": "expired"}, update("b", 7)])
    assert (view.cursor, view.rows, view.resets) == (None, {}, ["expired"])
    view.feed(subscribed(90, topics="mine broadcasts"))
    assert (versions(view), view.cursor, view.violations) == ({"b": 7}, 90, [])


def test_resume_asks_for_what_was_acknowledged(view: View) -> None:
    """A client comes back with its cursor and the subscriptions that were acknowledged."""
    assert view.resume() == {
        "action": "subscribe",
        "task_ids": [],
        "topics": ["broadcasts", "mine"],
        "after": 10,
    }


def test_page_resumes_at_its_own_position() -> None:
    """What a page held when it was rendered is where its first subscribe goes on."""
    row = {"task_id": "a", "version": 1, "owner": "1"}
    view = View(cursor=5, rows=[row], topics=["mine"])
    view.feed_all([CONNECTED, update("a", 2, 6), subscribed(6, topics="mine", recovered=True)])
    assert (versions(view), view.violations) == ({"a": 2}, [])


def test_log_lines_are_known_by_number(view: View) -> None:
    """A log line that comes twice is kept once."""
    line: Frame = {"type": "task_log", "task_id": "a", "data": {"number": 1, "text": "x"}}
    view.feed_all([line | {"id": 11}, line | {"id": 12}])
    assert view.logs == {"a": {1: {"number": 1, "text": "x"}}}


def test_broadcast_is_known_by_its_id() -> None:
    """A notice before `subscribed` has no id; its repeat on the same connection is a violation."""
    notice: Frame = {"type": "broadcast", "broadcast_id": "n", "message": {"title": "t"}}
    view = View().feed_all([CONNECTED, notice, notice | {"snapshot": True}, subscribed(3)])
    assert (view.broadcasts, view.cursor, view.violations) == ({"n": {"title": "t"}}, 3, [])
    view.feed(notice | {"id": 4})
    assert len(view.violations) == 1
    view.feed_all([CONNECTED, {"type": "broadcast_retracted", "broadcast_id": "n", "id": 5}])
    assert view.broadcasts == {}


BROKEN: dict[str, list[Frame]] = {
    "an id falls": [{"type": "heartbeat", "id": 9}],
    "a position twice": [update("a", 4, 11), update("b", 2, 11)],
    "an event at a position served": [{"type": "heartbeat", "id": 11}, update("a", 4, 11)],
    "an event without an id": [{"type": "task_removed", "task_id": "a", "version": 4}],
    "a snapshot with an id": [update("a", 4, 11) | {"snapshot": True}],
    "a heartbeat's id inside a replay": [CONNECTED, {"type": "heartbeat", "id": 11}],
    "an id after a reset": [{"type": "reset", "reason": "expired"}, update("a", 4, 11)],
}


@pytest.mark.parametrize("frames", BROKEN.values(), ids=list(BROKEN))
def test_broken_promises_are_recorded(view: View, frames: list[Frame]) -> None:
    """Each broken rule about ids is recorded once, with the frame that broke it."""
    view.feed_all(frames)
    assert len(view.violations) == 1, view.violations
