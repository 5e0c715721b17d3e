"""The form of a project's own topics, and how they are registered, found and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import Topic, layer, register, registry, topics
from realtime.events import LogEvent, Viewer
from realtime.live import LiveModel
from realtime.protocol import client
from realtime.topic_checks import _problems
from tests.orders.realtime_topics import News, Orders

NAMES = st.from_regex(topics.NAME, fullmatch=True).filter(lambda name: name not in topics.RESERVED)
KEYS = st.from_regex(topics.KEY, fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(NAMES, KEYS)
def test_a_name_and_a_key_are_a_topic(name: str, key: str) -> None:
    """With a dot between, or the name alone; and taken apart again they are the same."""
    assert topics.is_name(name)
    assert topics.is_own(name)
    assert topics.is_own(f"{name}.{key}")
    assert topics.split(f"{name}.{key}") == (name, key)
    assert topics.split(name) == (name, "")
    assert len(f"{name}.{key}") < 100


@settings(max_examples=300, deadline=None)
@given(st.text() | st.from_regex(r"[a-zA-Z0-9_.: \-]{0,110}", fullmatch=True))
def test_any_other_text_is_none(text: str) -> None:
    """What the parser takes for a topic has the form of one, character for character."""
    strict = re.fullmatch(r"[a-z][a-z0-9_]{0,31}(\.[A-Za-z0-9_-]{1,64})?", text, re.ASCII)
    assert topics.is_own(text) == bool(strict and text.split(".")[0] not in topics.RESERVED)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES | st.builds("{}.{}".format, NAMES, KEYS) | st.sampled_from(topics.TOPICS), min_size=1))
def test_the_keys_of_a_subscription_are_those_of_its_events(asked: list[str]) -> None:
    """The hub, the ring and the log know a topic by one key, that of no task and of no other topic."""
    wanted = client.Subscribe(topics=asked).subscriptions()
    keys = wanted.keys(Viewer("7"))
    assert len(set(keys)) == len(set(asked))
    assert wanted.own == [topic for topic in dict.fromkeys(asked) if topic not in topics.TOPICS]
    for topic in wanted.own:
        event = LogEvent(1, "topic_event", "", topic=topic, data={"event": "x"})
        assert [*topics.keys_of(event)] == [f"topic:{topic}"]
        assert f"topic:{topic}" in keys


def test_an_event_is_the_same_behind_the_channel_layer() -> None:
    """Its topic and its audience travel with it; what has none travels as before."""
    audience = {"kind": "users", "users": ["7"]}
    event = LogEvent(1, "topic_event", "", topic="order.42", data={"event": "x", "audience": audience})
    (message,) = layer.messages([event])
    assert layer.decode(message) == ([event], 0)
    (message,) = layer.messages([LogEvent(1, "task_deleted", "", task_id="t")])
    assert b"topic" not in message["events"]


def test_topics_are_found_by_the_module_they_are_in(db: None) -> None:
    """``realtime_topics`` of an installed app is imported at the start, like ``admin``."""
    for topic, kind, key in [("order.42", Orders, "42"), ("news", News, "")]:
        found = registry.find(topic)
        assert found is not None
        assert (type(found[0]), found[1]) == (kind, key)
    assert [registry.find(topic) for topic in ("order", "news.1", "orders.1", "mine", "task.1", "")] == [
        None
    ] * 6


def topic(called: str) -> type[Topic]:
    """Return a new topic of that name that somebody may see."""
    return type("Made", (Topic,), {"name": called, "allows": lambda self, user, key: True})


@pytest.fixture
def registered() -> Iterator[list[type[Topic]]]:
    """What a test registers is gone after it."""
    before = [known.kind for known in registry.registered]
    yield before
    for kind in [known.kind for known in registry.registered if known.kind not in before]:
        registry.unregister(kind)


def complaints() -> list[str]:
    """The ids of what the system checks find."""
    return [problem.id for problem in run_checks(tags=["realtime"]) if str(problem.id)[-3:] >= "020"]


@pytest.mark.parametrize(
    "name", ["mine", "tasks", "broadcasts", "task", "broadcast", "", "Order", "or-der", "a.b", "7", "o" * 33]
)
def test_a_bad_name_is_refused_by_the_checks(registered: list[type[Topic]], name: str) -> None:
    """Reserved, or not of the form; nobody can subscribe to it meanwhile."""
    assert complaints() == []
    register(topic(name))
    assert complaints() == ["realtime.E020"]
    assert registry.find(f"{name}.1") is None


def test_two_of_one_name_are_refused(registered: list[type[Topic]]) -> None:
    """The first goes on to decide who may see it; one registered twice is one."""
    register(topic("order"))
    register(Orders)
    assert complaints() == ["realtime.E021"]
    found = registry.find("order.1")
    assert found is not None
    assert isinstance(found[0], Orders)


def test_methods_are_not_async(registered: list[type[Topic]]) -> None:
    """What they return would be taken for a yes: refused where it is written."""

    class Careless(Topic):
        name = "careless"

        async def allows(self, user: Any, key: str) -> bool:  # type: ignore[override]
            return False

    with pytest.raises(TypeError, match="async"):
        register(Careless)
    assert registry.find("careless.1") is None


def test_a_topic_that_lets_nobody_in_is_told_of(registered: list[type[Topic]]) -> None:
    """``allows`` was forgotten: the default is no."""
    register(type("Forgotten", (Topic,), {"name": "forgotten"}))
    assert complaints() == ["realtime.W022"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"live_topic": "order", "live_fields": ("id",)}, []),
        ({"live_topic": "", "live_fields": ("id",)}, ["realtime.E023"]),
        ({"live_topic": "tasks", "live_fields": ("id",)}, ["realtime.E023"]),
        ({"live_topic": "news", "live_fields": ("id",)}, ["realtime.E023"]),
        ({"live_topic": "order", "live_fields": ()}, ["realtime.E024"]),
        ({"live_topic": "order", "live_fields": ("nothing",)}, ["realtime.E024"]),
        (
            {"live_topic": "order", "live_fields": ("scan",), "scan": models.BinaryField()},
            ["realtime.W027"],
        ),
        (
            {"live_topic": "order", "live_fields": ("key",), "key": models.CharField(primary_key=True)},
            ["realtime.W026"],
        ),
        (
            {"live_topic": "order", "live_fields": ("key",), "key": models.SlugField(primary_key=True)},
            [],
        ),
    ],
)
@isolate_apps("tests.orders")
def test_a_live_model_that_cannot_work_is_refused(fields: dict[str, Any], found: list[str]) -> None:
    """A topic that is not registered, or has no keys; a field that is no column; what cannot be sent."""
    meta = type("Meta", (), {"app_label": "orders"})
    model = type("Broken", (LiveModel,), {"__module__": __name__, "Meta": meta, **fields})
    assert [problem.id for problem in _problems(model)] == found
