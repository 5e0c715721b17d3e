"""Events for those who poll: the same cursor, the same frames and the same rules as a stream's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.test import override_settings
from django.utils import timezone

from realtime import broadcasts, log, replay
from realtime.models import Task
from realtime.models.public import public_data
from realtime.protocol.delivery import as_text, frame_of
from tests.api_caller import UNKNOWN, Caller, problem


def poll(caller: Caller, query: str = "", path: str = "events/") -> dict[str, Any]:
    """The body of a good answer."""
    answer = caller.get(f"/api/{path}{query}")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    assert answer["Realtime-Position"] == str(body["position"])
    return body


def frames(after: int) -> list[Any]:
    """What a socket would be sent of everything that comes after a position."""
    return [msgspec.json.decode(as_text(frame_of(e))) for e in replay.read(after, log.position(), 1000)]


def told(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Type and task of each frame."""
    return [(frame["type"], frame.get("task_id", "")) for frame in body["events"]]


def test_the_frames_are_those_of_a_socket(engine: str, make_user: Any) -> None:
    """With their ids, in order, each once; `position` is what to ask for next."""
    ann = Caller(make_user())
    after = poll(ann)["position"]
    task = ann.task()
    task.start()
    task.complete({"rows": 3})
    gone = ann.task()
    gone.delete()
    body = poll(ann, f"?after={after}")
    assert body["events"] == frames(after)
    assert (body["position"], body["more"], body["reset"]) == (log.position(), False, None)
    again = poll(ann, f"?after={body['position']}")
    assert (again["events"], again["position"]) == ([], body["position"])


def test_pages_of_events(engine: str, make_user: Any) -> None:
    """At most `limit` at once; `more` says that there are more, and nothing is lost between pages."""
    ann, found = Caller(make_user()), []
    after = start = log.position()
    for number in range(7):
        ann.task(name=str(number))
    while True:
        body = poll(ann, f"?after={after}&limit=3")
        assert len(body["events"]) <= 3
        found += body["events"]
        after = body["position"]
        if not body["more"]:
            break
    assert found == frames(start)


def test_large_events_come_in_smaller_pages(engine: str, make_user: Any) -> None:
    """An answer is bounded in bytes too."""
    ann, after = Caller(make_user()), log.position()
    Task.objects.bulk_create([Task(name="x", owner=ann.user, message="x" * 3000) for _ in range(60)])
    with override_settings(REALTIME={"BUFFER_BYTES": 5000}):
        body = poll(ann, f"?after={after}")
    assert 1 <= len(body["events"]) < 60
    assert body["more"]
    assert body["position"] == body["events"][-1]["id"]


CURSORS: dict[str | None, str | None] = {
    "": "unknown_position",
    "abc": "unknown_position",
    "-1": "unknown_position",
    "1.5": "unknown_position",
    "9" * 40: "unknown_position",
    "%D9%A3": "unknown_position",
    "9223372036854775807": "unknown_position",
    "1": "expired",
    "0": "expired",
    None: None,
}


def test_a_cursor_of_no_use_is_answered_by_a_snapshot(engine: str, make_user: Any) -> None:
    """As is none: how things are, and the position before that was read, to go on from."""
    ann = Caller(make_user())
    done, running = ann.task("completed"), ann.task("running")
    head = log.position()
    for cursor, reason in (*CURSORS.items(), (str(head + 1), "unknown_position")):
        body = poll(ann, "" if cursor is None else f"?after={cursor}")
        assert (body["reset"], body["position"]) == (reason, head), cursor
        assert (body["more"], body["truncated"]) == (False, False)
        assert [f["data"] for f in body["events"]] == [public_data(t) for t in (running, done)]
        for frame in body["events"]:
            assert (frame["type"], frame["snapshot"], "id" in frame) == ("task_update", True, False)


def test_who_is_too_far_behind_starts_afresh(engine: str, make_user: Any) -> None:
    """More than `REPLAY_LIMIT` events that concern him; the events of others do not count."""
    ann, bob, after = Caller(make_user()), Caller(make_user()), log.position()
    for number in range(6):
        (ann if number % 2 else bob).task()
    with override_settings(REALTIME={"REPLAY_LIMIT": 3}):
        assert poll(ann, f"?after={after}")["reset"] is None
    with override_settings(REALTIME={"REPLAY_LIMIT": 2, "SNAPSHOT_LIMIT": 2}):
        body = poll(ann, f"?after={after}")
    assert (body["reset"], body["truncated"], len(body["events"])) == ("too_far_behind", True, 2)


def test_a_cursor_whose_events_are_gone_has_expired(engine: str, make_user: Any) -> None:
    """Pruning moves the floor; the cursor at it is good, the one below it is not."""
    ann = Caller(make_user())
    after = log.position()
    for _ in range(3):
        ann.task()
    log.prune(before=timezone.now(), keep=0)
    assert poll(ann, f"?after={after}")["reset"] == "expired"
    assert poll(ann, f"?after={log.position()}")["reset"] is None


@pytest.mark.requirement("K1")
def test_each_hears_of_his_own_tasks(engine: str, make_user: Any) -> None:
    """Also when he asks for a foreign task with a cursor, which is never refused and never answered."""
    ann, bob, after = Caller(make_user()), Caller(make_user()), log.position()
    boss = Caller(make_user(), "realtime.view_task")
    task = ann.task()
    for query in ("", f"&task_id={task.pk}", "&topic=mine", f"&topic=mine&task_id={task.pk}"):
        assert poll(bob, f"?after={after}{query}")["events"] == []
        assert poll(bob, f"?after=1{query}")["events"] == []
    assert told(poll(ann, f"?after={after}")) == [("task_update", str(task.pk))]
    assert told(poll(boss, f"?after={after}")) == []
    assert told(poll(boss, f"?after={after}&topic=tasks")) == [("task_update", str(task.pk))]
    assert told(poll(boss, "?topic=tasks")) == [("task_update", str(task.pk))]
    for query in ("?topic=tasks", f"?topic=tasks&after={after}"):
        assert problem(ann.get(f"/api/events/{query}")) == (403, "forbidden")


@pytest.mark.requirement("K1")
def test_without_a_cursor_an_unknown_task_is_404(engine: str, make_user: Any) -> None:
    """One of several is enough; a foreign one is no better known."""
    ann, bob = Caller(make_user()), Caller(make_user())
    mine, foreign = ann.task(), bob.task()
    assert told(poll(ann, f"?task_id={mine.pk}")) == [("task_update", str(mine.pk))]
    answers = [ann.get(f"/api/events/?task_id={mine.pk}&task_id={i}") for i in (foreign.pk, UNKNOWN)]
    assert [problem(answer) for answer in answers] == [(404, "not_found")] * 2
    assert answers[0].content == answers[1].content


def test_a_task_that_is_given_away(engine: str, make_user: Any) -> None:
    """Who loses it is told that, and no more of it; who gets it, what it is."""
    ann, bob, after = Caller(make_user()), Caller(make_user()), log.position()
    task = ann.task()
    task.owner = bob.user
    task.save()
    task.start()
    path, name = f"tasks/{task.pk}/events/", str(task.pk)
    for body in (poll(ann, f"?after={after}"), poll(ann, f"?after={after}", path)):
        assert told(body) == [("task_update", name), ("task_removed", name)]
    assert told(poll(bob, f"?after={after}")) == [("task_update", name)] * 2
    assert poll(ann, "", path)["events"] == []


def test_the_events_of_one_task(engine: str, make_user: Any) -> None:
    """Only its own; as long as the log knows of it also when it is gone."""
    ann, bob, after = Caller(make_user()), Caller(make_user()), log.position()
    task, _ = ann.task(), ann.task()
    path, name = f"tasks/{task.pk}/events/", str(task.pk)
    assert told(poll(ann, "", path)) == [("task_update", name)]
    task.delete()
    assert told(poll(ann, f"?after={after}&limit=500", path)) == [
        ("task_update", name),
        ("task_deleted", name),
    ]
    assert poll(ann, "", path)["events"] == []
    assert problem(bob.get(f"/api/{path}?after={after}")) == (404, "not_found")
    assert problem(ann.get(f"/api/{path}?topic=mine")) == (400, "invalid_parameter")


def test_broadcasts_are_part_of_every_answer(engine: str, make_user: Any) -> None:
    """Those to come and those still in their window, for who is in their audience."""
    ann, staff, after = Caller(make_user()), Caller(make_user(is_staff=True)), log.position()
    broadcasts.send("to all")
    broadcasts.send("to staff", audience="staff")
    for query, path in (("", "events/"), ("?topic=broadcasts", "events/"), (f"?after={after}", "events/")):
        for caller, texts in ((ann, ["to all"]), (staff, ["to all", "to staff"])):
            found = [f["message"]["message"] for f in poll(caller, query, path)["events"]]
            assert found == texts, query
    task = ann.task()
    assert ("broadcast", "") in told(poll(ann, f"?after={after}", f"tasks/{task.pk}/events/"))


@pytest.mark.requirement("K1")
def test_the_law_of_polling(engine: str, make_user: Any) -> None:
    """A snapshot and the events after it, applied by version, are the database; from any earlier page on."""
    ann = Caller(make_user())
    ann.task()
    body = poll(ann)
    rows = {f["task_id"]: f["data"] for f in body["events"]}
    for number in range(4):
        task = ann.task(name=str(number))
        task.start()
        if number % 2:
            task.delete()
    for frame in poll(ann, f"?after={body['position']}")["events"]:
        if frame["type"] == "task_deleted":
            rows.pop(frame["task_id"], None)
        else:
            rows[frame["task_id"]] = frame["data"]
    assert rows == {str(t.pk): public_data(t) for t in Task.objects.all()}


def test_a_bad_parameter_is_named(engine: str, make_user: Any) -> None:
    """400 `invalid_parameter`."""
    ann = Caller(make_user())
    for query in (
        "limit=0",
        "limit=501",
        "limit=ten",
        "topic=all",
        "topic=",
        "task_id=4711",
        "after=1&after=2",
        "since=1",
        "after=" + "1" * 256,
    ):
        answer = ann.get(f"/api/events/?{query}")
        assert problem(answer) == (400, "invalid_parameter"), query
        assert list(answer.json()["fields"]) == [query.partition("=")[0]]


def test_too_many_subscriptions(engine: str, make_user: Any) -> None:
    """As many tasks and topics as a connection may have."""
    with override_settings(REALTIME={"MAX_SUBSCRIPTIONS": 2}):
        answer = Caller(make_user()).get(f"/api/events/?topic=mine&topic=broadcasts&task_id={UNKNOWN}")
    assert problem(answer) == (429, "too_many_subscriptions")
    assert int(answer["Retry-After"]) > 0
