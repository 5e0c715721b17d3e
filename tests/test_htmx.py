"""Fragments without a server: whose templates, how often they are rendered, and the tags of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.template import Context, Template
from django.test import override_settings

from realtime import log
from realtime.events import LogEvent, now
from realtime.fragments import FOLDER, KEPT, Fragments, Late, as_fragments, has_template, task_of, written
from realtime.models import Task
from realtime.models.public import public_data
from realtime.protocol import server
from realtime.protocol.delivery import Delivery
from tests.kit.sse_parser import EventStreamParser, ServerSentEvent

TASK = "65c5d3c5-47ba-4c63-aec6-9e4943b37d85"


def update(**data: Any) -> LogEvent:
    """The event of a task that somebody renamed."""
    public = public_data(Task(pk=TASK, name="Import", status="running", version=3))
    return LogEvent(7, "task_update", "2026-11-21T00:50:19.071Z", TASK, "1", version=3, data=public | data)


def topic(data: dict[str, Any]) -> LogEvent:
    """An event of one of the project's topics."""
    content = {"event": "shipped", "data": data}
    return LogEvent(8, "topic_event", "2026-11-21T00:50:19.071Z", topic="order.42", data=content)


def shown(event: LogEvent, encode: Fragments | None = None) -> ServerSentEvent:
    """The first event that a browser dispatches."""
    payload = (encode or as_fragments(5000, "en", "UTC")).of_event(event, False)
    return EventStreamParser().feed(payload.make())[0]


@pytest.fixture
def templates() -> Iterator[dict[str, str]]:
    """A project's own fragments, by name."""
    own: dict[str, str] = {}
    loaders = [
        ("django.template.loaders.locmem.Loader", own),
        "django.template.loaders.app_directories.Loader",
    ]
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
    has_template.cache_clear()
    with override_settings(TEMPLATES=[engine]):
        yield own
    has_template.cache_clear()


def test_a_fragment_is_rendered_once_for_everybody() -> None:
    """All streams of one language and time zone get the same bytes; another zone reads another time."""
    delivery = Delivery(update(started_at="2026-11-21T00:50:19.057Z"))
    one, other = (as_fragments(5000, "en", zone) for zone in ("UTC", "Asia/Tokyo"))
    assert as_fragments(5000, "en", "UTC") is one
    first, elsewhere = delivery.encoded(one), delivery.encoded(other)
    assert isinstance(first, Late)
    assert isinstance(elsewhere, Late)
    assert b"00:50:19 UTC" in first.make()
    assert b"09:50:19 JST" in elsewhere.make()
    again = delivery.encoded(one)
    assert isinstance(again, Late)
    assert again.make() is first.make()


def test_html_is_kept_of_the_latest_events_only() -> None:
    """The ring counts the bytes of an event, not of its HTML in every language: that is not kept in it."""
    encode = Fragments(5000, "en", "UTC")
    deliveries = [Delivery(update(name=str(number))) for number in range(KEPT + 50)]
    sent = [delivery.encoded(encode) for delivery in deliveries]
    assert len(encode._latest) == KEPT
    assert deliveries[-1].encoded(encode) is sent[-1]
    assert deliveries[0].encoded(encode) is not sent[0]
    assert not any(delivery._encoded for delivery in deliveries)


async def test_everybody_else_has_the_loop_between_two_fragments() -> None:
    """A snapshot of a hundred rows is sent in order, and stops nobody for longer than one of them."""
    encode, turns = Fragments(5000, "en", "UTC"), 0
    rows = [
        server.TaskUpdate(timestamp=now(), task_id=TASK, data=update(name=f"row {n}").data, snapshot=True)
        for n in range(100)
    ]
    last = server.Subscribed(timestamp=now(), id=9, position=9, task_ids=[TASK], topics=[])
    batch = [encode(frame) for frame in (*rows, last)]

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    working = asyncio.create_task(others())
    sent = b"".join(await written(batch))
    working.cancel()
    assert turns >= 100
    events = EventStreamParser().feed(sent)
    assert [event.event for event in events] == [f"task-{TASK}"] * 100 + ["tasks_changed"]
    assert [event.data.count(f"row {n}<") for n, event in enumerate(events[:100])] == [1] * 100


def test_what_is_no_change_is_no_event_of_the_page() -> None:
    """A heartbeat moves the browser's cursor, a farewell sets its pause; neither is dispatched."""
    encode, parser = as_fragments(5000, "en", "UTC"), EventStreamParser()
    assert parser.feed(encode(server.Heartbeat(timestamp=now(), id=9, t=1.0))) == []
    assert parser.last_event_id == "9"
    assert parser.feed(encode(server.Reconnect(timestamp=now(), after_ms=1234, reason="restarting"))) == []
    assert parser.retry == 1234


def test_a_frame_becomes_the_task_that_templates_know(db: None) -> None:
    """Every public field is back, as the model has it; one that was left out has its default."""
    task = Task.objects.create(name="Import", total=3, result={"rows": 1}, status="completed")
    again = task_of(public_data(task))
    assert public_data(again) == public_data(task)
    small = {name: value for name, value in public_data(task).items() if name != "name"}
    assert task_of({**small, "truncated": ["name"]}).name == ""


def test_a_project_has_templates_of_its_own(templates: dict[str, str]) -> None:
    """For tasks with the model's names, for topics with key, event and data; all of it escaped."""
    templates[f"{FOLDER}/task.html"] = "{{ task.name }}: {{ task.get_status_display }}, {{ percent }}"
    templates[f"{FOLDER}/topics/order.html"] = "{{ key }} {{ event }} by {{ data.carrier }}"
    assert shown(update(name="<b>", progress=40)).data == "&lt;b&gt;: Running, 40"
    event = shown(topic({"carrier": "<i>"}))
    assert (event.event, event.data, event.id) == ("topic-order.42", "42 shipped by &lt;i&gt;", "8")


def test_a_template_that_fails_ends_no_stream(
    templates: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the event says that it cannot be shown; an empty one is still dispatched."""
    templates[f"{FOLDER}/task.html"] = "{% include 'nowhere.html' %}"
    assert "cannot be shown" in shown(update()).data
    assert "task could not be rendered" in caplog.text
    templates[f"{FOLDER}/topics/order.html"] = ""
    assert shown(topic({})).data == "<!-- nothing -->"


def test_a_template_that_cannot_be_read_and_a_notice_that_is_none_end_no_stream(
    templates: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A syntax error, and a message without a level: logged, and the event says that it cannot be shown."""
    templates[f"{FOLDER}/topics/order.html"] = "{% if %}{{ key }}"
    event = shown(topic({}))
    assert (event.event, "cannot be shown" in event.data) == ("topic-order.42", True)
    assert "topics/order could not be rendered" in caplog.text
    odd = LogEvent(9, "broadcast", now(), data={"broadcast_id": "1", "message": {"title": "?"}})
    event = shown(odd)
    assert (event.event, event.id, "cannot be shown" in event.data) == ("broadcast", "9", True)


def test_a_topic_that_is_sent_no_longer_says_so() -> None:
    """Whether its right has ended or a snapshot was refused; under a name that nothing swaps as HTML."""
    encode = as_fragments(5000, "en", "UTC")
    frames: list[server.Frame] = [
        server.Unsubscribed(
            timestamp=now(),
            id=9,
            position=9,
            task_ids=[],
            topics=["order.1", "order.2"],
            reason="unknown_topic",
        ),
        server.Error(timestamp=now(), code="unknown_topic", message="Unknown topic.", topic="order.3"),
    ]
    events = [event for frame in frames for event in EventStreamParser().feed(encode(frame))]
    assert [event.event for event in events] == [f"topic-order.{n}-end" for n in (1, 2, 3)]
    assert {event.data for event in events} == {"unknown_topic"}


def address(**given: Any) -> dict[str, list[str]]:
    """The parameters of the address that the tag writes."""
    arguments = " ".join(f"{name}={name}" for name in given)
    source = f"{{% load realtime %}}{{% autoescape off %}}{{% events_url {arguments} %}}{{% endautoescape %}}"
    url = urlsplit(Template(source).render(Context(given)))
    assert url.path == "/events"
    return parse_qs(url.query)


def test_the_address_holds_the_cursor_of_the_page(engine: str) -> None:
    """Of tasks that are as their rows: the log's position; of stale ones none, so a snapshot comes first."""
    one, two = (Task.objects.create(name=name) for name in ("one", "two"))
    position = log.position()
    ids = [str(one.pk), str(two.pk)]
    assert address(tasks=[one, two]) == {
        "format": ["html"],
        "task_id": ids,
        "last_event_id": [str(position)],
    }
    Task.objects.filter(pk=two.pk).update(name="changed meanwhile")
    assert address(tasks=[one, two]) == {"format": ["html"], "task_id": ids}
    assert address(tasks=one)["task_id"] == ids[:1]
    assert address(topic="mine") == {"format": ["html"], "topic": ["mine"]}
    assert address(topic="mine", position=position)["last_event_id"] == [str(position)]


def test_the_page_s_fragment_is_the_stream_s(db: None) -> None:
    """Both are one template: what a page shows first is what the stream would send."""
    task = Task.objects.create(name="Import", total=3)
    page = Template("{% load realtime %}{% task_fragment task %}").render(Context({"task": task})).strip()
    assert shown(update(**public_data(task))).data == page
