"""The Python client's core, frame by frame: what it asks, what it tells, what it holds after a cut."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from realtime.client import (
    Broadcast,
    ClientError,
    Denied,
    NotFound,
    Reset,
    Subscribed,
    TaskUpdate,
    Timing,
    TopicEvent,
    Unreachable,
    Unsubscribed,
)
from realtime.client.http import Places
from realtime.client.session import Session, Step
from realtime.client.timing import rule
from realtime.exceptions import CLOSE_CODES, Retry

ONE, OTHER = "65c5d3c5-47ba-4c63-aec6-9e4943b37d85", "d5774aa4-5775-4c6b-90f0-5d5d2204d067"
NOW = "2026-11-21T00:50:18.491Z"


def say(session: Session, kind: str, **fields: Any) -> Step:
    """Let the server send a frame."""
    return session.receive({"type": kind, "timestamp": NOW, **fields})


def update(session: Session, version: int, status: str = "running", **fields: Any) -> Step:
    """Let the server send a change of the task."""
    data = {"task_id": ONE, "version": version, "status": status}
    return say(session, "task_update", task_id=ONE, data=data, **fields)


def connected(session: Session, user_id: str = "1") -> dict[str, Any]:
    """Let a connection begin; return the one subscribe that follows."""
    session.cut()
    (message,) = say(session, "connected", user_id=user_id, position=99, heartbeat_interval=30).messages
    assert message["action"] == "subscribe"
    return message


def subscribed(session: Session, asked: dict[str, Any], position: int, **fields: Any) -> Step:
    """Let the server acknowledge what was asked for."""
    names = {name: asked[name] for name in ("task_ids", "topics", "request_id")}
    return say(session, "subscribed", **names | {"id": position, "position": position, **fields})


def begun(*task_ids: str, topics: tuple[str, ...] = ()) -> Session:
    """A session that is being served, with position 10."""
    session = Session(task_ids, topics)
    subscribed(session, connected(session), 10)
    assert session.current
    return session


def test_a_snapshot_is_told_when_it_is_complete() -> None:
    """Its rows are kept back until `subscribed`: a cut before leaves nothing half told."""
    session = Session([ONE], ())
    asked = connected(session)
    assert (asked["task_ids"], "after" in asked) == ([ONE], False)
    assert update(session, 3, snapshot=True).events == []
    asked = connected(session)
    assert "after" not in asked
    assert update(session, 4, snapshot=True).events == []
    row, complete = subscribed(session, asked, 10).events
    assert isinstance(row, TaskUpdate)
    assert (row.task.version, row.snapshot, row.id) == (4, True, None)
    assert isinstance(complete, Subscribed)


def test_it_comes_back_with_its_cursor_and_what_was_acknowledged() -> None:
    """The highest id seen, of whatever frame; broadcasts are part of every resume."""
    session = begun(ONE, topics=("mine",))
    update(session, 2, id=12)
    assert say(session, "ping", t=1.5, id=15).messages == [{"action": "pong", "t": 1.5}]
    asked = connected(session)
    assert (asked["after"], asked["task_ids"], asked["topics"]) == (15, [ONE], ["mine", "broadcasts"])
    assert not session.current
    assert [event.id for event in update(session, 3, id=16).events] == [16]
    assert subscribed(session, asked, 16, recovered=True).events == []
    assert session.current


def test_what_a_snapshot_or_an_event_has_told_is_not_told_again() -> None:
    """After a resume the log may hold changes that the snapshot had contained; and an id comes once."""
    session = Session([ONE], ())
    asked = connected(session)
    update(session, 5, snapshot=True)
    subscribed(session, asked, 10)
    connected(session)
    assert update(session, 4, id=11).events == []
    assert update(session, 5, id=12).events == []
    assert len(update(session, 6, id=13).events) == 1
    assert update(session, 6, id=13).events == []


def test_a_reset_drops_the_cursor_and_is_followed_by_a_snapshot() -> None:
    """Nothing is asked for; cut off within it, the client begins afresh."""
    session = begun(topics=("mine",))
    (event,) = say(session, "reset", reason="expired").events
    assert isinstance(event, Reset)
    assert (session.cursor, session.current) == (None, False)
    update(session, 1, snapshot=True)
    asked = connected(session)
    assert "after" not in asked
    update(session, 1, snapshot=True)
    assert [event.type for event in subscribed(session, asked, 20).events] == ["task_update", "subscribed"]
    assert session.cursor == 20


def test_a_reset_while_coming_back_waits_for_the_answer() -> None:
    """The `subscribed` that ends it carries the request's id, and `recovered` false."""
    session = begun(topics=("mine",))
    asked = connected(session)
    say(session, "reset", reason="too_far_behind")
    update(session, 7, snapshot=True)
    events = subscribed(session, asked, 30, recovered=False).events
    assert [event.type for event in events] == ["task_update", "subscribed"]
    assert session.current


def test_it_ends_with_its_tasks() -> None:
    """After the last `done`; a task that is seen no longer is told."""
    session = begun(ONE, OTHER)
    say(session, "done", task_id=ONE, id=11)
    assert not session.finished
    assert connected(session)["task_ids"] == [OTHER]
    gone = {"task_ids": [OTHER], "topics": [], "reason": "not_found", "position": 12}
    (event,) = say(session, "unsubscribed", **gone).events
    assert isinstance(event, Unsubscribed)
    assert event.task_ids == (OTHER,)
    assert session.finished


def test_broadcasts_are_told_once_and_only_who_wants_them() -> None:
    """Live without an id before the first `subscribed`, again in a snapshot, again after a cut."""
    notice = {"type": "alert", "level": "info", "message": "Hello."}
    frame = {"broadcast_id": OTHER, "message": notice}
    session = Session((), ["broadcasts"])
    connected(session)
    (event,) = say(session, "broadcast", **frame).events
    assert isinstance(event, Broadcast)
    assert event.notice.message == "Hello."
    say(session, "broadcast", snapshot=True, **frame)
    asked = connected(session)
    say(session, "broadcast", snapshot=True, **frame)
    assert [event.type for event in subscribed(session, asked, 10).events] == ["subscribed"]
    assert say(begun(ONE), "broadcast", id=11, **frame).events == []


def test_a_topic_of_the_project_has_events_and_a_snapshot() -> None:
    """`topic_event`, with the row before `subscribed`."""
    session = Session((), ["order.42"])
    asked = connected(session)
    topic = {"topic": "order.42", "data": {"state": "paid"}}
    assert say(session, "topic_event", snapshot=True, event="snapshot", **topic).events == []
    row, _ = subscribed(session, asked, 10).events
    (event,) = say(session, "topic_event", id=11, event="changed", **topic).events
    assert isinstance(row, TopicEvent)
    assert isinstance(event, TopicEvent)
    assert (row.event, event.event, event.data) == ("snapshot", "changed", {"state": "paid"})


def test_a_topic_that_may_be_seen_no_longer_is_told_and_the_rest_goes_on() -> None:
    """At a resume, live, or after a reset; who is left with nothing is told that as an error."""
    session = begun(topics=("order.42", "mine", "order.7"))
    gone = {"task_ids": [], "topics": ["order.42"], "reason": "unknown_topic", "position": 12}
    (event,) = say(session, "unsubscribed", **gone).events
    assert isinstance(event, Unsubscribed)
    assert event.topics == ("order.42",)
    say(session, "reset", reason="expired")
    (event,) = say(session, "error", code="unknown_topic", message="No.", topic="order.7").events
    assert isinstance(event, Unsubscribed)
    with pytest.raises(Denied, match="mine"):
        say(session, "unsubscribed", **gone | {"topics": ["mine"], "reason": "forbidden"})


def test_frames_of_an_unknown_type_move_the_cursor_only() -> None:
    """A newer server may send more than this client knows."""
    session = begun(ONE)
    assert say(session, "weather", id=17) == Step([], [])
    assert session.cursor == 17


REFUSED: list[tuple[dict[str, Any], type[ClientError]]] = [
    ({"code": "not_found", "task_id": ONE}, NotFound),
    ({"code": "forbidden", "topic": "tasks"}, Denied),
    ({"code": "too_many_subscriptions", "request_id": "subscribe-1"}, Denied),
    ({"code": "unavailable", "request_id": "subscribe-1"}, Unreachable),
    ({"code": "rate_limited", "request_id": "subscribe-1"}, Unreachable),
]


@pytest.mark.parametrize(("fields", "kind"), REFUSED, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_refused_is_raised(fields: dict[str, Any], kind: type[ClientError]) -> None:
    """With the server's code; what cannot be served just now is asked for again by who holds the session."""
    session = Session([ONE], ["tasks"])
    connected(session)
    with pytest.raises(kind) as caught:
        say(session, "error", message="No.", **fields)
    assert caught.value.code == fields["code"]


def test_a_token_of_another_user_is_no_renewal() -> None:
    """Nothing of one user goes on for another."""
    session = begun(ONE)
    with pytest.raises(Denied) as caught:
        connected(session, user_id="2")
    assert caught.value.code == "wrong_user"


def test_pauses_grow_with_full_jitter_up_to_their_limit() -> None:
    """From 1 to 30 seconds, each a random part of its bound."""
    timing = Timing()
    for attempt, bound in [(0, 1), (1, 2), (4, 16), (5, 30), (1000, 30)]:
        pauses = [timing.pause(attempt) for _ in range(300)]
        assert 0 <= min(pauses) < bound / 10
        assert bound * 0.9 < max(pauses) <= bound
    assert (timing.renew_in(3600), timing.renew_in(10)) == (3540, 5)


def test_what_follows_a_close_is_the_servers_own_table() -> None:
    """And what servers and proxies close with means: later."""
    assert {code: rule(code) for code in CLOSE_CODES} == {
        code: after for code, (_, after) in CLOSE_CODES.items()
    }
    assert {rule(code) for code in (1001, 1006, 1009, 1011, 1012)} == {Retry.BACK_OFF}


def test_addresses_are_made_of_the_sites() -> None:
    """Below a path too; one that holds a password would end up in a log."""
    assert Places.of("https://example.com/app/").socket == "wss://example.com/app/ws"
    assert Places.of("wss://example.com").base == "https://example.com/"
    for wrong in (
        "example.com",
        "ftp://example.com",
        "https://me:pw@example.com",
        "https://example.com?token=a",
    ):
        with pytest.raises(ValueError, match="address"):
            Places.of(wrong)


def test_the_client_needs_no_django() -> None:
    """It runs where there is no project, and brings no framework with it."""
    code = (
        "import sys, realtime.client\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(loaded & {'django', 'channels', 'asgiref', 'rest_framework'})"
    )
    env = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
