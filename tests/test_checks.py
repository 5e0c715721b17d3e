"""manage.py check: every setting that cannot work is named, by a stable id."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.views.debug import SafeExceptionReporterFilter

from realtime import checks
from realtime.conf import SETTINGS

pytestmark = pytest.mark.requirement("O6")

REDIS_CORE, IN_MEMORY = checks.REDIS_CORE, checks.IN_MEMORY
GZIP = "django.middleware.gzip.GZipMiddleware"

Change = Callable[[Any, pytest.MonkeyPatch], None]


def setting(name: str, value: Any) -> Change:
    """Set one of Django's settings."""
    return lambda settings, patch: setattr(settings, name, value)


def layer(backend: str, **config: Any) -> Change:
    """Set the channel layer."""
    return setting("CHANNEL_LAYERS", {"default": {"BACKEND": backend, "CONFIG": config}})


def workers(variable: str, number: str) -> Change:
    """Say by the environment how many processes serve."""
    return lambda settings, patch: patch.setenv(variable, number)


def kept_connections(settings: Any, patch: pytest.MonkeyPatch) -> None:
    """Keep database connections for a minute."""
    patch.setitem(settings.DATABASES["default"], "CONN_MAX_AGE", 60)


def deferred(settings: Any, patch: pytest.MonkeyPatch) -> None:
    """Let SQLite begin transactions as it does by itself."""
    default = settings.DATABASES["default"]
    patch.setitem(default, "OPTIONS", {**default["OPTIONS"], "transaction_mode": "DEFERRED"})


def untouched(settings: Any, patch: pytest.MonkeyPatch) -> None:
    """Leave SQLite's options as `startproject` does."""
    patch.delitem(settings.DATABASES["default"], "OPTIONS")


class OldMiddleware:
    """A middleware of the time before async."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        """Answer the request."""
        return self.get_response(request)


def old_middleware(settings: Any, patch: pytest.MonkeyPatch) -> None:
    """Add a middleware that cannot run async."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.OldMiddleware"]


def gzip(settings: Any, patch: pytest.MonkeyPatch) -> None:
    """Compress answers."""
    settings.MIDDLEWARE = [GZIP, *settings.MIDDLEWARE]


#: What an operator might write for an address or an origin, and is none.
NO_PROXIES = ["localhost", "10.0.0.0/33", "10.0.0.1:80", "*", "", "unix:", "300.1.1.1"]
NO_ORIGINS = [
    *("*", "null", "", "example.com", "//example.com", "https://", "ftp://example.com"),
    *("https://*.example.com", "https://example.com/", "https://example.com/app", "https://example.com?x"),
    *("https://example.com#x", "https://example.com:443", "http://example.com:80", "https://example.com:"),
    *("https://example.com:port", "https://me@example.com", "https://a.com,https://b.com", " https://a.com"),
]

#: For each id, the settings that bring it; the text of the message names what is wrong.
WRONG: list[tuple[str, Change, str]] = [
    ("realtime.E001", setting("REALTIME", ["PING_INTERVAL"]), "REALTIME must be a dict"),
    ("realtime.E002", setting("REALTIME", {"PING_INTERVALL": 30}), "PING_INTERVALL"),
    ("realtime.E003", setting("REALTIME", {"PING_INTERVAL": "30"}), "PING_INTERVAL"),
    ("realtime.E003", setting("REALTIME", {"MAX_EVENT_SIZE": 10}), "from 1,024 to 900,000"),
    ("realtime.E004", setting("REALTIME", {"PONG_TIMEOUT": 30}), "greater than"),
    ("realtime.E004", setting("REALTIME", {"PING_INTERVAL": 90}), "greater than"),
    ("realtime.W005", setting("CHANNEL_LAYERS", {}), "no default"),
    ("realtime.E006", workers("WORKERS", "2"), "WORKERS is 2"),
    ("realtime.E006", workers("WEB_CONCURRENCY", "4"), "is 4"),
    ("realtime.E007", layer(REDIS_CORE), "socket_timeout"),
    ("realtime.E007", layer(REDIS_CORE, hosts=[("localhost", 6379)]), "socket_timeout"),
    ("realtime.E007", layer(REDIS_CORE, hosts=[{"socket_timeout": 5}]), "socket_timeout"),
    ("realtime.E007", layer(REDIS_CORE, hosts=[{"socket_timeout": None}, {}]), "socket_timeout"),
    ("realtime.W008", gzip, "BREACH"),
    ("realtime.E009", kept_connections, "CONN_MAX_AGE"),
    ("realtime.W010", setting("ASGI_APPLICATION", None), "ASGI_APPLICATION"),
    ("realtime.W012", old_middleware, "OldMiddleware cannot run async"),
    ("realtime.W013", deferred, "transaction_mode IMMEDIATE"),
    ("realtime.W013", untouched, "database is locked"),
    ("realtime.E014", setting("USE_TZ", False), "USE_TZ"),
    *[("realtime.E011", setting("REALTIME", {"TRUSTED_PROXIES": [each]}), repr(each)) for each in NO_PROXIES],
    *[("realtime.E011", setting("REALTIME", {"ALLOWED_ORIGINS": [each]}), repr(each)) for each in NO_ORIGINS],
]


def served_by_wsgi(settings: Any, patch: pytest.MonkeyPatch) -> None:
    """Keep connections in a project without streams; W010, which says that it has none, is known."""
    kept_connections(settings, patch)
    settings.ASGI_APPLICATION = None
    settings.SILENCED_SYSTEM_CHECKS = ["realtime.W010"]


#: Settings that look like those above and are right.
RIGHT: list[Change] = [
    setting("REALTIME", {}),
    setting("REALTIME", {"PING_INTERVAL": 5, "PONG_TIMEOUT": 10.5}),
    lambda settings, patch: delattr(settings, "REALTIME"),
    setting("REALTIME", {"TRUSTED_PROXIES": ["10.0.0.1", "10.0.0.0/8", "10.0.0.9/8", "::1", "fd00::/8"]}),
    setting("REALTIME", {"ALLOWED_ORIGINS": ["https://a.com", "http://localhost:3000", "http://[::1]:8080"]}),
    workers("WORKERS", "1"),
    workers("WORKERS", "many"),
    layer(REDIS_CORE, hosts=[{"socket_timeout": None}, {"socket_timeout": 15}]),
    layer("channels_redis.pubsub.RedisPubSubChannelLayer"),
    served_by_wsgi,
]


@pytest.mark.parametrize(("id_", "change", "text"), WRONG, ids=[row[0] for row in WRONG])
def test_each_id_has_settings_that_bring_it(
    id_: str, change: Change, text: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly that message, at the level its letter says, and it tells what is wrong."""
    change(settings, monkeypatch)
    (message,) = run_checks(tags=["realtime"])
    assert message.id == id_
    assert text in message.msg
    assert (message.level >= ERROR) == ("E" in id_.partition(".")[2])


def test_every_id_is_tested() -> None:
    """The table above names every id that the code can give."""
    source = Path(checks.__file__).read_text()
    assert set(re.findall(r'id="(realtime\.\w+)"', source)) == {row[0] for row in WRONG}


@pytest.mark.parametrize("change", RIGHT)
def test_settings_that_work_bring_nothing(
    change: Change, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No check cries over what is right."""
    change(settings, monkeypatch)
    assert [message for message in run_checks(tags=["realtime"]) if not message.is_silenced()] == []


def test_the_project_passes_its_own_checks() -> None:
    """With the settings it comes with, there is nothing to say."""
    assert run_checks() == []


def test_all_that_is_wrong_is_said_at_once(settings: Any) -> None:
    """One run names every bad key, and the hint the keys that exist."""
    settings.REALTIME = {"A": 1, "B": 2, "RING_EVENTS": 0}
    messages = run_checks(tags=["realtime"])
    assert [message.id for message in messages] == ["realtime.E002", "realtime.E002", "realtime.E003"]
    assert all(name in messages[0].hint for name in SETTINGS)


@pytest.mark.requirement("O2")
def test_a_secret_is_shown_nowhere(settings: Any) -> None:
    """Not by the check that refuses it, and not on a page about an error."""
    settings.REALTIME = {"METRICS_TOKEN": 4711}
    (message,) = run_checks(tags=["realtime"])
    assert message.msg == "REALTIME['METRICS_TOKEN'] is hidden; it must be text."
    assert "4711" not in str(SafeExceptionReporterFilter().get_safe_settings()["REALTIME"])


def test_manage_py_check_fails(settings: Any) -> None:
    """An error stops the command by which a deployment is checked."""
    settings.REALTIME = {"PING_INTERVALL": 30}
    with pytest.raises(SystemCheckError, match=r"realtime\.E002"):
        call_command("check")
