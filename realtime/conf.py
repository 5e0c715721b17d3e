"""The settings: one dict, ``REALTIME``, read when used, so that ``override_settings`` works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings as django_settings


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of ``REALTIME``: its default, its type and the range it may lie in."""

    default: Any
    kind: Any
    low: float | None = None
    high: float | None = None
    #: Never shown, not even when it is wrong.
    secret: bool = False

    def allowed(self) -> str:
        """Say in words what a value may be, for the error of ``manage.py check``."""
        if self.kind is bool:
            return "true or false"
        if self.kind is list:
            return "a list of text"
        if self.kind is str:
            return "text"
        unit = "a whole number" if self.kind is int else "a number"
        return f"{unit} from {self.low:,} to {self.high:,}"

    def accepts(self, value: Any) -> bool:
        """Tell whether ``value`` has the right type and lies in the range."""
        if self.kind is list:
            return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        if isinstance(value, bool) or self.kind is bool:
            return self.kind is bool and isinstance(value, bool)
        if not isinstance(value, self.kind):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def _seconds(default: float, low: float = 0.01, high: float = 86_400) -> Setting:
    return Setting(default, (int, float), low, high)


def _count(default: int, low: int = 1, high: int = 1_000_000_000) -> Setting:
    return Setting(default, int, low, high)


#: Every key, in the order of the documentation. Seconds unless the name says otherwise.
SETTINGS: dict[str, Setting] = {
    "SSE_COMMENT_INTERVAL": _seconds(30),
    "SSE_HEARTBEAT_INTERVAL": _seconds(15),
    "SSE_RETRY_MS": _count(5000, 1, 3_600_000),
    "STREAM_MAX_AGE": _seconds(3600, 0.1, 604_800),
    "PING_INTERVAL": _seconds(30),
    "PONG_TIMEOUT": _seconds(60),
    "LOG_CHECK_INTERVAL": _seconds(1, 0.01, 60),
    "RETENTION_DAYS": Setting(7, (int, float), 0.001, 36_500),
    "RETENTION_EVENTS": _count(1_000_000),
    "RING_EVENTS": _count(20_000, 1, 1_000_000),
    "RING_BYTES": _count(32 * 1024 * 1024, 1024),
    "BUFFER_EVENTS": _count(1024, 1, 1_000_000),
    "BUFFER_BYTES": _count(1024 * 1024, 1024),
    "REPLAY_LIMIT": _count(100_000),
    "SNAPSHOT_LIMIT": _count(100, 1, 10_000),
    # One event must fit the 1 MiB that daphne allows an outgoing frame, with room for the envelope.
    "MAX_EVENT_SIZE": _count(65_536, 1024, 900_000),
    "SEND_TIMEOUT": _seconds(10, 0.1, 3600),
    "WRITE_WINDOW": _count(1024 * 1024, 0),
    "CONNECTIONS_INTERVAL": _seconds(5, 0.05, 3600),
    "DRAIN_SECONDS": _seconds(10, 0, 3600),
    "TICKET_SECONDS": _seconds(30, 1, 3600),
    "PROGRESS_INTERVAL": _seconds(0.25, 0, 3600),
    "LEASE_SECONDS": _seconds(60, 1),
    "LOG_LINES": _count(10_000, 1, 10_000_000),
    "REDACT": Setting(True, bool),
    "REDACT_NAMES": Setting([], list),
    "MAIL_ON_FAILURE": Setting(False, bool),
    # One of them is the hub's: streams that wait for the database must not keep it from the log.
    "DB_THREADS": _count(4, 2, 64),
    "QUERY_TOKEN": Setting(True, bool),
    "TASK_GROUPS": Setting(False, bool),
    "ALLOWED_ORIGINS": Setting([], list),
    "TRUSTED_PROXIES": Setting([], list),
    "MAX_MESSAGE_SIZE": _count(65_536, 256, 900_000),
    "MAX_SUBSCRIPTIONS": _count(128, 1, 100_000),
    "MAX_CONNECTIONS": _count(10_000, 1, 10_000_000),
    "MAX_CONNECTIONS_PER_USER": _count(20, 1, 10_000_000),
    "MAX_CONNECTIONS_PER_ADDRESS": _count(100, 1, 10_000_000),
    "MESSAGE_RATE": Setting(10, (int, float), 0.01, 1_000_000),
    "MESSAGE_BURST": _count(20, 1, 1_000_000),
    "METRICS_TOKEN": Setting("", str, secret=True),
}


class Settings:
    """Attribute access to ``REALTIME`` with its defaults: ``conf.PING_INTERVAL``."""

    def __getattr__(self, name: str) -> Any:
        try:
            default = SETTINGS[name].default
        except KeyError:
            raise AttributeError(f"REALTIME has no setting {name!r}") from None
        return getattr(django_settings, "REALTIME", {}).get(name, default)


conf = Settings()
