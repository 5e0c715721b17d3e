"""The settings: their defaults, their ranges, and that they are read when used."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from realtime import database
from realtime.conf import SETTINGS, Setting, conf
from tests.kit.waiting import aeventually

pytestmark = pytest.mark.requirement("O6")

#: The promised defaults.
DEFAULTS: dict[str, Any] = {
    "SSE_COMMENT_INTERVAL": 30,
    "SSE_HEARTBEAT_INTERVAL": 15,
    "SSE_RETRY_MS": 5000,
    "STREAM_MAX_AGE": 3600,
    "PING_INTERVAL": 30,
    "PONG_TIMEOUT": 60,
    "LOG_CHECK_INTERVAL": 1,
    "RETENTION_DAYS": 7,
    "RETENTION_EVENTS": 1_000_000,
    "RING_EVENTS": 20_000,
    "RING_BYTES": 32 * 1024 * 1024,
    "BUFFER_EVENTS": 1024,
    "BUFFER_BYTES": 1024 * 1024,
    "REPLAY_LIMIT": 100_000,
    "SNAPSHOT_LIMIT": 100,
    "MAX_EVENT_SIZE": 65_536,
    "SEND_TIMEOUT": 10,
    "WRITE_WINDOW": 1024 * 1024,
    "CONNECTIONS_INTERVAL": 5,
    "DRAIN_SECONDS": 10,
    "TICKET_SECONDS": 30,
    "PROGRESS_INTERVAL": 0.25,
    "LEASE_SECONDS": 60,
    "LOG_LINES": 10_000,
    "REDACT": True,
    "REDACT_NAMES": [],
    "MAIL_ON_FAILURE": False,
    "DB_THREADS": 4,
    "QUERY_TOKEN": True,
    "TASK_GROUPS": False,
    "ALLOWED_ORIGINS": [],
    "TRUSTED_PROXIES": [],
    "MAX_MESSAGE_SIZE": 65_536,
    "MAX_SUBSCRIPTIONS": 128,
    "MAX_CONNECTIONS": 10_000,
    "MAX_CONNECTIONS_PER_USER": 20,
    "MAX_CONNECTIONS_PER_ADDRESS": 100,
    "MESSAGE_RATE": 10,
    "MESSAGE_BURST": 20,
    "METRICS_TOKEN": "",
}

NUMBERS = sorted(name for name, setting in SETTINGS.items() if setting.low is not None)
LISTS = sorted(name for name, setting in SETTINGS.items() if setting.kind is list)
TEXTS = {name for name, setting in SETTINGS.items() if setting.kind is str}
FLAGS = sorted(name for name, setting in SETTINGS.items() if setting.kind is bool)


def test_the_defaults_are_the_promised_ones() -> None:
    """Every key has the name and the default that people's settings rely on."""
    assert {name: setting.default for name, setting in SETTINGS.items()} == DEFAULTS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_allowed(name: str) -> None:
    """What applies without a word from the operator would pass the check as well."""
    setting = SETTINGS[name]
    assert setting.accepts(setting.default)
    assert setting.allowed()


@pytest.mark.parametrize("name", NUMBERS)
def test_a_range_ends_where_it_says(name: str) -> None:
    """Both ends are allowed; what lies beyond them is not, nor what is no number."""
    setting = SETTINGS[name]
    assert setting.low is not None
    assert setting.high is not None
    assert setting.accepts(setting.low)
    assert setting.accepts(setting.high)
    for value in (setting.low - 1, setting.high + 1, math.nan, math.inf, True, False, "5", None, [5]):
        assert not setting.accepts(value)
    assert f"{setting.low:,}" in setting.allowed()
    assert f"{setting.high:,}" in setting.allowed()


@given(st.sampled_from(NUMBERS), st.integers() | st.floats())
def test_a_number_is_accepted_iff_it_lies_in_the_range(name: str, value: float) -> None:
    """Of numbers the kind and the range decide, and nothing else."""
    setting = SETTINGS[name]
    assert setting.low is not None
    assert setting.high is not None
    right_kind = isinstance(value, setting.kind)
    assert setting.accepts(value) == (right_kind and setting.low <= value <= setting.high)


@given(
    st.sampled_from(sorted(SETTINGS.keys() - LISTS - TEXTS)),
    st.text() | st.none() | st.binary() | st.lists(st.integers()) | st.dictionaries(st.text(), st.none()),
)
def test_what_is_neither_number_nor_flag_is_refused(name: str, value: Any) -> None:
    """No value of another type slips through, and none makes the check itself fail."""
    assert not SETTINGS[name].accepts(value)


@given(st.sampled_from(FLAGS), st.integers() | st.floats() | st.booleans())
def test_a_flag_is_true_or_false(name: str, value: Any) -> None:
    """1 and 0 are no flags, though Python calls them equal."""
    assert SETTINGS[name].accepts(value) == (value is True or value is False)
    assert SETTINGS[name].allowed() == "true or false"


def test_settings_are_read_when_used() -> None:
    """A change of the settings holds from the next use on, and its end as well."""
    assert DEFAULTS["PING_INTERVAL"] == conf.PING_INTERVAL
    with override_settings(REALTIME={"PING_INTERVAL": 3}):
        assert conf.PING_INTERVAL == 3
        assert DEFAULTS["PONG_TIMEOUT"] == conf.PONG_TIMEOUT
    assert DEFAULTS["PING_INTERVAL"] == conf.PING_INTERVAL


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    """A typing error in the code is no silent None."""
    with pytest.raises(AttributeError, match="PING_INTERVALL"):
        _ = conf.PING_INTERVALL


def test_a_list_of_text() -> None:
    """A list takes text only, and a text is no list."""
    hosts = Setting([], list)
    assert hosts.accepts(["a", "b"])
    assert hosts.accepts(())
    assert not hosts.accepts("a")
    assert not hosts.accepts([1])
    assert hosts.allowed() == "a list of text"


def test_a_text() -> None:
    """Nothing else is one, though it could be written as one."""
    token = Setting("", str)
    assert token.accepts("secret")
    assert not any(token.accepts(value) for value in (None, 5, True, b"secret", ["secret"]))
    assert token.allowed() == "text"


async def test_the_fewest_threads_leave_one_to_the_hub() -> None:
    """All turns of streams are taken by one that waits for the database, and the hub reads on."""
    answer = threading.Event()
    with override_settings(REALTIME={"DB_THREADS": SETTINGS["DB_THREADS"].low}):
        database.close()
        waiting = asyncio.create_task(database.run(answer.wait, 60))
        try:
            await aeventually(lambda: database.turns().locked())
            assert await asyncio.wait_for(database.run_now(str, "read"), 20) == "read"
        finally:
            answer.set()
            await waiting
            await asyncio.to_thread(database.close)
