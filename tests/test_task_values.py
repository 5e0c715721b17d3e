"""Values of a task: what is cleaned, what is refused, what an event leaves out."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import log, replay
from realtime.exceptions import InvalidValue
from realtime.models import Task
from realtime.models.public import public_data, whole_data
from realtime.models.transitions import clean_count, clean_json, clean_progress, clean_text, percent

BIGGEST = 2**63 - 1


def last_event() -> dict[str, Any]:
    """The data of the last event."""
    return replay.read(0, log.position(), 1000)[-1].data


# Arithmetic


@pytest.mark.requirement("T6")
@pytest.mark.parametrize(
    ("done", "total", "expected"),
    [
        (0, 0, None),  # nothing of nothing is not known
        (5, None, None),
        (5, 0, None),
        (0, 7, 0),
        (1, 3, 33),
        (2, 3, 66),
        (999, 1000, 99),
        (7, 7, 100),
        (8, 7, 100),
        (BIGGEST - 1, BIGGEST, 99),
    ],
)
def test_percent_at_the_edges(done: int, total: int | None, expected: int | None) -> None:
    """Rounded down, so that 100 means all; never above 100; None when nobody can know."""
    assert percent(done, total) == expected


@pytest.mark.requirement("T6")
@given(st.integers(0, BIGGEST), st.integers(1, BIGGEST))
def test_percent_is_exact(done: int, total: int) -> None:
    """A whole number from 0 to 100; 100 exactly when all is done, whatever the size."""
    share = percent(done, total)
    assert share is not None
    assert 0 <= share <= 100
    assert (share == 100) == (done >= total)
    assert share * total <= done * 100


@pytest.mark.requirement("T6")
@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=3)))
def test_progress_is_a_number_from_0_to_100(value: Any) -> None:
    """Anything else is refused; fractions are rounded down."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value <= 100:
        assert clean_progress(value) == math.floor(value)
    else:
        with pytest.raises(InvalidValue):
            clean_progress(value)


@pytest.mark.requirement("T6")
@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3)))
def test_a_count_is_a_whole_number_that_databases_hold(value: Any) -> None:
    """From 0 to 2**63 - 1; only ``total`` may be unknown."""
    if type(value) is int and 0 <= value <= BIGGEST:
        assert clean_count("done", value) == value
    else:
        with pytest.raises(InvalidValue):
            clean_count("done", value)
    if value is None:
        assert clean_count("total", None) is None


@pytest.mark.requirement("T6")
def test_reported_counts_become_progress(engine: str, settings: Any) -> None:
    """done of total is the progress, unless the total is unknown or progress is reported itself."""
    settings.REALTIME = {"PROGRESS_INTERVAL": 0}
    task = Task.objects.create(name="import", status="running")
    for reported, expected in [
        ({"done": 5}, 0),
        ({"total": 0, "done": 0}, 0),
        ({"total": 3, "done": 2}, 66),
        ({"done": 3}, 100),
        ({"done": 9}, 100),
        ({"total": 90}, 10),
        ({"done": 10, "progress": 55.9}, 55),
        ({"total": BIGGEST, "done": BIGGEST}, 100),
    ]:
        task.report(**reported)
        assert (task.progress, Task.objects.get().progress) == (expected, expected)
    assert last_event()["done"] == BIGGEST


# Text and JSON


@given(st.text(st.characters(codec=None)))
def test_text_is_cleaned_of_what_nobody_can_hold(text: str) -> None:
    """NUL, which PostgreSQL refuses, and lone surrogates, which UTF-8 cannot write, are replaced."""
    cleaned = clean_text(text)
    assert "\x00" not in cleaned
    assert len(cleaned) == len(text)
    cleaned.encode()
    assert clean_text(cleaned) == cleaned


def test_bad_characters_reach_no_row_and_no_event(engine: str) -> None:
    """On every way into the row: save, update, bulk_update and the work API."""
    bad, good = "a\x00b\ud800", "a�b?"
    task = Task.objects.create(name=bad, message=bad, result={bad: [bad, {"deep": bad}]})
    assert (task.name, task.message) == (good, good)
    assert last_event()["result"] == {good: [good, {"deep": good}]}
    Task.objects.update(message=bad + "!")
    assert last_event()["message"] == Task.objects.get().message == good + "!"
    task = Task.objects.get()
    task.message, task.result = bad + "?", [bad]
    Task.objects.bulk_update([task], ["message", "result"])
    assert Task.objects.get().message == last_event()["message"] == good + "?"
    assert Task.objects.get().result == last_event()["result"] == [good]
    Task.objects.get().fail(bad, traceback=bad)
    assert (Task.objects.get().error, Task.objects.get().traceback) == (good, good)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [-math.inf]}, object(), {1, 2}])
def test_a_result_that_is_no_json_is_refused(engine: str, value: Any) -> None:
    """NaN and infinity are no JSON: a browser could not read the event."""
    task = Task.objects.create(name="import", status="running")
    with pytest.raises(InvalidValue):
        task.complete(result=value)
    assert (task.status, task.result) == ("running", None)
    with pytest.raises(InvalidValue):
        Task.objects.create(name="import", result=value)
    assert Task.objects.get().status == "running"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON)
def test_clean_json_changes_no_good_value(value: Any) -> None:
    """What is JSON stays as it is, and cleaning twice is cleaning once."""
    cleaned = clean_json(value)
    assert clean_json(cleaned) == cleaned
    if "\x00" not in repr(value) and "\\x00" not in repr(value) and "\\ud" not in repr(value):
        assert cleaned == value


@pytest.mark.parametrize("value", [2**53 + 1, -(2**63), 10**30, 1e22, 1.5e-9, -0.5, True, None, [], ""])
def test_a_result_is_the_same_in_row_event_and_frame(engine: str, value: Any) -> None:
    """Big numbers too: they are stored and encoded as they are."""
    Task.objects.create(name="import", result={"value": value})
    assert Task.objects.get().result == last_event()["result"] == {"value": value}
    assert msgspec.json.decode(msgspec.json.encode(last_event()))["result"] == {"value": value}


def test_a_name_that_does_not_fit_is_refused(engine: str) -> None:
    """Text with a limit is refused above it, on SQLite as on PostgreSQL."""
    for name in ("name", "phase"):
        with pytest.raises(InvalidValue):
            Task.objects.create(**{"name": "import", name: "x" * 256})
    assert not Task.objects.exists()


# Size


def test_an_event_leaves_out_what_is_too_large(engine: str, settings: Any) -> None:
    """The largest fields go first and are named; the row stays whole."""
    settings.REALTIME = {"MAX_EVENT_SIZE": 4096}
    task = Task.objects.create(name="import", message="m" * 2000, result=["r" * 3000])
    data = last_event()
    assert data["truncated"] == ["result"]
    assert "result" not in data
    assert data["message"] == task.message
    assert whole_data(Task.objects.get())["result"] == ["r" * 3000]
    Task.objects.update(message="m" * 5000)
    assert last_event()["truncated"] == ["message"]
    Task.objects.update(message="m" * 5000, result=["r" * 5000])
    assert last_event()["truncated"] == ["result", "message"]
    Task.objects.update(message="", result=None)
    assert "truncated" not in last_event()


@given(
    name=st.text(max_size=255),
    texts=st.lists(st.text(max_size=800), min_size=4, max_size=4),
    limit=st.integers(1024, 4096),
)
def test_an_event_always_fits(name: str, texts: list[str], limit: int) -> None:
    """Whatever the fields hold, the event is within the limit and says what is missing."""
    task = Task(name=name, phase=texts[0][:255], message=texts[1], error=texts[2], result=texts[3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.REALTIME", {"MAX_EVENT_SIZE": limit})
        data = public_data(task)
    assert len(msgspec.json.encode(data)) <= limit
    assert whole_data(task).keys() - data.keys() == set(data.get("truncated", []))
