"""A connection's conversation: connected, snapshot, subscribed, live; and what it is refused."""

from __future__ import annotations

import itertools
import uuid

import pytest

from tests.model_site import MakeSite, make_site

__all__ = ["make_site"]

UNKNOWN = str(uuid.UUID(int=404))


@pytest.mark.requirement("W1")
def test_connected_comes_first(make_site: MakeSite) -> None:
    """The first frame says who and where one is; its position is information and no id."""
    site = make_site()
    site.task(site.alice)
    client = site.watch(site.alice)
    (frame,) = client.take()
    assert (frame["type"], frame["user_id"], frame["protocol"]) == ("connected", str(site.alice.pk), "1.0")
    assert frame["position"] == site.head
    assert "id" not in frame
    assert "subscribe" in frame["actions"]


@pytest.mark.requirement("W3")
def test_a_subscribe_is_snapshot_then_subscribed_then_live(make_site: MakeSite) -> None:
    """Rows without ids, ``subscribed`` with the position as id, then every later event."""
    site = make_site()
    task = site.task(site.alice)
    client = site.watch(site.alice)
    client.take()
    client.post(action="subscribe", task_id=str(task.pk), request_id="r")
    site.run()
    row, subscribed = client.take()
    assert row["snapshot"] is True
    assert "id" not in row
    assert row["data"]["version"] == 1
    assert subscribed["id"] == subscribed["position"] == site.head
    assert (subscribed["task_ids"], subscribed["topics"]) == ([str(task.pk)], [])
    assert (subscribed["task_id"], subscribed["request_id"]) == (str(task.pk), "r")
    task.start()
    site.run()
    (update,) = client.take()
    assert (update["id"], update["data"]["status"]) == (site.head, "running")


@pytest.mark.requirement("W3")
def test_subscribing_again_is_idempotent(make_site: MakeSite) -> None:
    """The same once more: the snapshot again, and each later event still once."""
    site = make_site()
    task = site.task(site.alice)
    client = site.watch(site.alice, "mine", str(task.pk))
    site.ask(client, str(task.pk), "mine")
    assert client.types() == ["connected", "row", "subscribed", "row", "subscribed"]
    site.rename(task)
    assert client.types() == ["task_update"]


@pytest.mark.requirement("W3")
def test_too_many_subscriptions(make_site: MakeSite) -> None:
    """Over ``MAX_SUBSCRIPTIONS`` per connection: an ``error``, and what there was goes on."""
    site = make_site(MAX_SUBSCRIPTIONS=2)
    task = site.task(site.alice)
    client = site.watch(site.alice, "mine", str(task.pk))
    client.take()
    site.ask(client, "broadcasts")
    site.ask(client, "mine")
    site.rename(task)
    assert client.types() == ["error", "row", "subscribed", "task_update"]
    assert client.frames[-4]["code"] == "too_many_subscriptions"


@pytest.mark.requirement("W12")
def test_unknown_and_forbidden_look_the_same(make_site: MakeSite) -> None:
    """A task that is not there and one that is not yours: the same ``error not_found``, no ``subscribed``."""
    site = make_site()
    client = site.watch(site.bob)
    foreign = str(site.task(site.alice).pk)
    client.take()
    site.ask(client, foreign)
    site.ask(client, UNKNOWN)
    one, other = client.take()
    assert (one["type"], one["code"], one["task_id"]) == ("error", "not_found", foreign)
    assert (other["code"], other["message"], other["task_id"]) == (one["code"], one["message"], UNKNOWN)


@pytest.mark.requirement("W12")
def test_what_may_be_seen_of_a_list_is_served(make_site: MakeSite) -> None:
    """Of several, the forbidden are refused one by one, and the rest is subscribed."""
    site = make_site()
    mine, foreign = str(site.task(site.alice).pk), str(site.task(site.bob).pk)
    client = site.watch(site.alice, foreign, mine, "tasks")
    assert client.types() == ["connected", "error", "error", "row", "subscribed"]
    codes = {(f["code"], f.get("task_id"), f.get("topic")) for f in client.frames if f["type"] == "error"}
    assert codes == {("not_found", foreign, None), ("forbidden", None, "tasks")}
    assert client.view.task_ids == {mine}


@pytest.mark.requirement("W4")
def test_nothing_of_a_task_after_unsubscribed(make_site: MakeSite) -> None:
    """``unsubscribed`` is the last word of that task, also when more of it was buffered already."""
    site = make_site()
    task, other = site.task(site.alice), site.task(site.alice)
    client = site.watch(site.alice, str(task.pk), str(other.pk))
    client.take()
    # Everything below is written in one turn of the loop: the events lie in the buffer.
    client.post(action="unsubscribe", task_id=str(task.pk), request_id=7)
    for _ in range(3):
        task.name += "'"
        task.save()
    site.rename(other)
    frames = client.take()
    gone = next(n for n, frame in enumerate(frames) if frame["type"] == "unsubscribed")
    assert frames[gone]["request_id"] == 7
    assert frames[gone]["task_id"] == str(task.pk)
    assert {frame["task_id"] for frame in frames[gone + 1 :]} == {str(other.pk)}
    site.rename(task)
    assert client.take() == []


@pytest.mark.requirement("W15")
def test_a_slow_snapshot_stops_nothing_else(make_site: MakeSite) -> None:
    """While the database is asked, pings are answered and other subscriptions go on."""
    site = make_site(LOG_CHECK_INTERVAL=60)
    task = site.task(site.alice)
    client = site.watch(site.alice, "mine")
    client.take()
    site.loop.delays = itertools.repeat(5.0)
    client.post(action="subscribe", task_id=str(task.pk))
    client.post(action="ping", t=1)
    site.run(0.1)
    site.rename(task)
    client.post(action="ping", t=2)
    site.run(0.1)
    assert client.types() == ["pong", "task_update", "pong"]
    site.run(11)
    assert client.types() == ["row", "subscribed"]


def test_a_snapshot_older_than_the_cursor_is_patched(make_site: MakeSite) -> None:
    """What was dispatched while the snapshot was on its way is in its rows: nothing falls between."""
    site = make_site(LOG_CHECK_INTERVAL=60)
    task, gone, given = (site.task(site.alice) for _ in range(3))
    client = site.watch(site.alice)
    client.take()
    site.loop.delays = itertools.cycle([0.0, 5.0])
    client.post(action="subscribe", topic="mine")
    site.run(0.1)
    site.rename(task, 2)
    gone.delete()
    given.owner = site.bob
    given.save()
    late = site.task(site.alice)
    assert client.types() == []
    site.run(12)
    rows = {f["task_id"]: f["data"]["version"] for f in client.frames if f.get("snapshot")}
    assert rows == {str(task.pk): 3, str(late.pk): 1}
    assert client.types() == ["row", "row", "subscribed"]
    assert client.view.cursor == site.head


def test_a_snapshot_newer_than_the_hub_suppresses_what_it_contained(make_site: MakeSite) -> None:
    """Events up to the row's version are not sent after it; the next one is."""
    site = make_site(smooth=False, LOG_CHECK_INTERVAL=1)
    task = site.task(site.alice)
    site.rename(task, 2)
    client = site.watch(site.alice, str(task.pk))
    site.run(1.5)
    assert client.types() == ["connected", "row", "subscribed"]
    assert client.view.cursor == site.start
    site.rename(task)
    site.run(1.5)
    assert client.types() == ["task_update"]
    assert client.view.rows[str(task.pk)]["version"] == 4


def test_a_database_that_is_away_is_an_error(make_site: MakeSite) -> None:
    """A fresh subscribe that cannot be read gets ``unavailable``, and may be asked again."""
    site = make_site()
    client = site.watch(site.alice)
    client.take()
    site.loop.failures = 1
    site.ask(client, "mine")
    site.ask(client, "mine")
    assert client.types() == ["error", "subscribed"]
    assert client.frames[-2]["code"] == "unavailable"


@pytest.mark.requirement("W5")
def test_a_ping_is_answered_with_its_t_and_the_position(make_site: MakeSite) -> None:
    """``pong`` carries the client's ``t``; its id moves a quiet client's cursor on."""
    site = make_site()
    client = site.watch(site.alice, "mine")
    site.task(site.bob)
    client.post(action="ping", t="mine", request_id=3)
    site.run()
    pong = client.take()[-1]
    assert (pong["type"], pong["t"], pong["request_id"], pong["id"]) == ("pong", "mine", 3, site.head)


def test_status_tells_of_the_connection(make_site: MakeSite) -> None:
    """Subscriptions, position and the number of frames sent, as they are now."""
    site = make_site()
    task = site.task(site.alice)
    client = site.watch(site.alice, "mine", str(task.pk))
    client.post(action="status", request_id=1)
    site.run()
    status = client.take()[-1]
    assert (status["task_ids"], status["topics"]) == ([str(task.pk)], ["mine"])
    assert (status["position"], status["sent"], status["behind"]) == (site.head, 3, False)


def test_broadcasts_come_before_the_first_subscribe_too(make_site: MakeSite) -> None:
    """A socket that has asked for nothing yet hears live broadcasts, without id."""
    site = make_site()
    client = site.watch(site.alice)
    client.take()
    site.append("broadcast")
    site.run()
    (frame,) = client.take()
    assert (frame["type"], frame["message"]) == ("broadcast", {"title": "news"})
    assert "id" not in frame
    site.ask(client, "mine")
    site.append("broadcast")
    site.run()
    assert [(f["type"], f.get("id")) for f in client.take()] == [
        ("subscribed", site.head - 1),
        ("broadcast", site.head),
    ]
