"""``/events?format=html`` over real servers: the same events, for the same people, as HTML."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows import Live, Person
from tests.kit.streams import StreamClient

SCRIPT = "<script>alert(1)</script>"


async def fragments(live: Live, person: Person, **options: Any) -> StreamClient:
    """Open a stream of HTML as that person."""
    query = {"format": "html", **options.pop("query", {})}
    client = await live.stream(person, query=query, **options)
    assert (client.status, client.headers["content-type"]) == (200, "text/event-stream")
    return client


def told(client: StreamClient) -> list[str]:
    """The names of all events that a browser would dispatch."""
    return [event.event for event in client.events]


@pytest.mark.requirement("K20")
async def test_each_change_is_a_fragment_under_the_task_s_own_name(live: Live) -> None:
    """Snapshot, changes, then ``done``; markup and line ends of a name are text; ids are positions."""
    ada = await live.person()
    task_id = await live.task(ada, name=f"Import {SCRIPT}")
    json = await live.stream(ada, task_ids=[task_id])
    html = await fragments(live, ada, task_ids=[task_id])
    snapshot = await html.wait(f"task-{task_id}")
    assert SCRIPT not in snapshot.data
    assert "Import &lt;script&gt;" in snapshot.data
    await html.wait("tasks_changed")
    await live.change(task_id, message=f"row 1\nevent: done\n\ndata: {SCRIPT}")
    changed = await html.wait(f"task-{task_id}")
    assert changed.id == (await json.wait("task_update", lambda e: e.id is not None)).id
    await live.finish(task_id)
    final = await html.wait(f"task-{task_id}", lambda event: "Completed" in event.data)
    assert 'data-state="done"' in final.data
    done = await html.wait("done")
    await json.wait("done")
    assert done.id == json.last_event_id
    assert not any(SCRIPT in event.data for event in html.events)
    assert set(told(html)) == {f"task-{task_id}", "tasks_changed", "done"}


async def test_the_cursor_is_in_the_url(live: Live) -> None:
    """A stream behind ``last_event_id`` tells what came after it, and no snapshot; then it ends again."""
    ada = await live.person()
    task_id = await live.task(ada)
    watching = await fragments(live, ada, task_ids=[task_id])
    await watching.wait("tasks_changed")
    await live.change(task_id, status="running", message="first")
    cursor = (await watching.wait(f"task-{task_id}", lambda event: "first" in event.data)).id
    await live.change(task_id, message="second")
    await live.finish(task_id)
    again = await fragments(live, ada, task_ids=[task_id], query={"last_event_id": cursor})
    await again.wait("done")
    seen = [event.data for event in again.events if event.event == f"task-{task_id}"]
    assert len(seen) == 2
    assert "second" in seen[0]
    assert "Completed" in seen[1]
    # As a browser comes back by itself: nothing is left, which is ``done`` and not 204.
    last = await fragments(live, ada, task_ids=[task_id], last_event_id=again.last_event_id)
    await last.wait("done")
    assert told(last) == ["done"]


async def test_rights_are_the_same(live: Live) -> None:
    """Somebody else's task and one that there never was look alike: gone, and done."""
    ada, ben = await live.person(), await live.person()
    task_id = await live.task(ada, name="a secret")
    unknown = "00000000-0000-4000-8000-000000000000"
    seen = []
    for asked in (task_id, unknown):
        client = await fragments(live, ben, task_ids=[asked])
        await client.wait("done")
        assert told(client) == [f"task-{asked}", "tasks_changed", "done"]
        seen.append(client.events[0].data)
    assert seen[0] == seen[1]
    refused = await live.stream(ben, topics=["tasks"], query={"format": "html"})
    assert refused.status == 403


async def test_a_list_hears_when_it_is_another(live: Live) -> None:
    """Created, given away, received, finished, deleted: ``tasks_changed``, for whom it concerns."""
    ada, ben = await live.person(), await live.person()
    giver, receiver = [await fragments(live, person, topics=["mine"]) for person in (ada, ben)]
    for client in (giver, receiver):
        await client.wait("tasks_changed", lambda event: event.data == "all")
    task_id = await live.task(ada)
    await giver.wait("tasks_changed", lambda event: event.data == task_id)
    await live.change(task_id, owner_id=ben.id)
    await giver.wait(f"task-{task_id}", lambda event: "no longer here" in event.data)
    await receiver.wait("tasks_changed", lambda event: event.data == task_id)
    await live.finish(task_id)
    await receiver.wait("tasks_changed", lambda event: event.data == task_id)
    await live.run("Task.objects.get(pk=pk).delete()", pk=task_id)
    await receiver.wait(f"task-{task_id}", lambda event: "no longer here" in event.data)
    await receiver.wait("tasks_changed", lambda event: event.data == task_id)


async def test_notices_and_topics_have_their_events(live: Live) -> None:
    """A broadcast is a fragment, its retraction a word; a topic without a template tells its word only."""
    ada = await live.person()
    client = await fragments(live, ada, topics=["mine", "news"])
    await client.wait("tasks_changed")
    code = (
        "from realtime import broadcasts, publish\n"
        "publish('news', 'written', {'html': text})\n"
        "sent = broadcasts.send('Back soon, 1 < 2.', title='Maintenance')\n"
        "broadcasts.retract(sent)\n"
        "str(sent.pk)\n"
    )
    sent = await live.run(code, text=SCRIPT)
    assert (await client.wait("topic-news")).data == "written"
    notice = await client.wait("broadcast", lambda event: "Maintenance" in event.data)
    assert "1 &lt; 2." in notice.data
    await client.wait("broadcast_retracted", lambda event: event.data == sent)


async def test_a_topic_that_may_not_be_seen_any_more_ends(live: Live) -> None:
    """The rest goes on; when nothing is left it is ``done``, and so is whoever comes back: never 400."""
    ada, ben = await live.person(), await live.person()
    order = await live.run("Order.objects.create(customer_id=owner).pk", owner=ada.id)
    topic, end = f"order.{order}", f"topic-order.{order}-end"
    alone = await fragments(live, ada, topics=[topic])
    beside = await fragments(live, ada, topics=["news", topic])
    for client in (alone, beside):
        await client.wait("tasks_changed")
    cursor = alone.last_event_id
    await live.run("Order.objects.filter(pk=pk).update(customer_id=other)", pk=order, other=ben.id)
    for client in (alone, beside):
        assert (await client.wait(end, timeout=30)).data == "unknown_topic"
    await alone.wait("done")
    await alone.wait_closed()
    for again in ({}, {"last_event_id": cursor}):
        over = await fragments(live, ada, topics=[topic, "nothing.1"], query=again)
        await over.wait_closed()
        assert told(over) == [end, "topic-nothing.1-end", "done"]
        partly = await fragments(live, ada, topics=["news", topic], query=again)
        await partly.wait(end)
    await live.run("from realtime import publish\npublish('news', 'written')")
    for client in (partly, beside):
        await client.wait("topic-news")


async def test_who_missed_much_is_sent_the_rows_as_they_are(live: Live) -> None:
    """After a hundred events a page hears ``reset`` and gets a snapshot: states are what it shows."""
    ada = await live.person()
    task_id = await live.task(ada)
    watching = await fragments(live, ada, topics=["mine"])
    await watching.wait("tasks_changed")
    cursor = watching.last_event_id
    await live.burst([task_id], 101)
    await watching.wait(f"task-{task_id}", lambda event: ">100<" in event.data, timeout=60)
    again = await fragments(live, ada, topics=["mine"], query={"last_event_id": cursor})
    await again.wait("reset", lambda event: event.data == "too_far_behind")
    row = await again.wait(f"task-{task_id}")
    assert ">100<" in row.data
    await again.wait("tasks_changed", lambda event: event.data == "all")


async def test_other_formats_are_refused(live: Live) -> None:
    """A format that there is not: 400, in words."""
    client = await live.stream(await live.person(), query={"format": "xml"})
    assert client.status == 400
