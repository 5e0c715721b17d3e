"""System checks: settings that cannot work stop ``manage.py check`` by name."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from realtime.addresses import is_proxy
from realtime.auth.origins import is_origin
from realtime.conf import SETTINGS, conf

IN_MEMORY = "channels.layers.InMemoryChannelLayer"
REDIS_CORE = "channels_redis.core.RedisChannelLayer"


@register("realtime")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: ``REALTIME`` is a dict. E002: unknown key. E003: a value out of its range."""
    given = getattr(settings, "REALTIME", {})
    if not isinstance(given, dict):
        return [Error("REALTIME must be a dict.", id="realtime.E001")]
    problems: list[CheckMessage] = []
    for name, value in given.items():
        setting = SETTINGS.get(name)
        if setting is None:
            known = ", ".join(sorted(SETTINGS))
            problems.append(Error(f"REALTIME has no setting {name!r}.", hint=known, id="realtime.E002"))
        elif not setting.accepts(value):
            problems.append(
                Error(
                    f"REALTIME[{name!r}] is {'hidden' if setting.secret else repr(value)}; "
                    f"it must be {setting.allowed()}.",
                    id="realtime.E003",
                )
            )
    return problems


@register("realtime")
def check_intervals(**kwargs: Any) -> list[CheckMessage]:
    """E004: a client would be given up before it could answer."""
    if check_settings():
        return []
    if conf.PONG_TIMEOUT <= conf.PING_INTERVAL:
        return [
            Error(
                "REALTIME['PONG_TIMEOUT'] must be greater than REALTIME['PING_INTERVAL'].",
                id="realtime.E004",
            )
        ]
    return []


@register("realtime")
def check_trust(**kwargs: Any) -> list[CheckMessage]:
    """E011: a trusted proxy that is no address, or an allowed origin that is no origin."""
    if check_settings():
        return []
    return [
        Error(
            f"REALTIME[{name!r}] has {entry!r}; each entry must be {wanted}.",
            id="realtime.E011",
        )
        for name, is_right, wanted in (
            ("ALLOWED_ORIGINS", is_origin, "an origin, as https://example.com or http://localhost:3000"),
            ("TRUSTED_PROXIES", is_proxy, "an IP address or network"),
        )
        for entry in getattr(conf, name)
        if not is_right(entry)
    ]


@register("realtime")
def check_layer(**kwargs: Any) -> list[CheckMessage]:
    """E005: no layer. W006: in memory with several processes. W007: redis-py 8's time-out."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    default = layers.get("default")
    if default is None:
        return [
            Warning(
                "CHANNEL_LAYERS has no default: every update waits for REALTIME['LOG_CHECK_INTERVAL'].",
                id="realtime.W005",
            )
        ]
    problems: list[CheckMessage] = []
    if default.get("BACKEND") == IN_MEMORY and _processes() > 1:
        problems.append(
            Error(
                f"The in-memory channel layer reaches one process, and WORKERS is {_processes()}.",
                hint="Set REDIS_URL, or CHANNEL_LAYERS to channels_redis.pubsub.RedisPubSubChannelLayer.",
                id="realtime.E006",
            )
        )
    if default.get("BACKEND") == REDIS_CORE:
        problems += _check_redis_hosts(default.get("CONFIG", {}).get("hosts", []))
    return problems


def _processes() -> int:
    try:
        return int(os.environ.get("WORKERS") or os.environ.get("WEB_CONCURRENCY") or 1)
    except ValueError:
        return 1


def _check_redis_hosts(hosts: list[Any]) -> list[CheckMessage]:
    for host in hosts or [{}]:
        timeout = host.get("socket_timeout", 5) if isinstance(host, dict) else 5
        if timeout is not None and timeout <= 5:
            return [
                Error(
                    "redis-py gives up after socket_timeout 5 s, and RedisChannelLayer waits 5 s for "
                    "a message: idle consumers would die.",
                    hint="Give each of the layer's hosts socket_timeout None or at least 15, "
                    "health_check_interval and max_connections; or use RedisPubSubChannelLayer.",
                    id="realtime.E007",
                )
            ]
    return []


@register("realtime")
def check_server(**kwargs: Any) -> list[CheckMessage]:
    """W008: GZip. E009: ``CONN_MAX_AGE`` under ASGI. W010: no ASGI. E014: times without a zone."""
    problems: list[CheckMessage] = []
    if not settings.USE_TZ:
        problems.append(
            Error("USE_TZ must be True: every time on the wire says its zone.", id="realtime.E014")
        )
    if "django.middleware.gzip.GZipMiddleware" in settings.MIDDLEWARE:
        problems.append(
            Warning(
                "GZipMiddleware compresses answers that may carry tokens (BREACH); /events leaves "
                "itself out.",
                id="realtime.W008",
            )
        )
    asgi = getattr(settings, "ASGI_APPLICATION", None)
    for alias, database in settings.DATABASES.items():
        # Under WSGI threads live on, and with them their connections: a project may well keep those.
        if asgi and database.get("CONN_MAX_AGE"):
            problems.append(
                Error(
                    f"DATABASES[{alias!r}]['CONN_MAX_AGE'] must be 0 under ASGI: a thread dies with its "
                    "connection open.",
                    hint="Use OPTIONS['pool'] on PostgreSQL.",
                    id="realtime.E009",
                )
            )
    if not asgi:
        problems.append(
            Warning(
                "ASGI_APPLICATION is not set: streams and sockets need ASGI, not WSGI.",
                hint="Set it and serve by daphne or uvicorn (docs/integrate.md). Under WSGI pages poll.",
                id="realtime.W010",
            )
        )
    return problems


@register("realtime")
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """W012: a middleware that cannot run async; Django would run it, and what it wraps, in threads."""
    return [
        Warning(
            f"{path} cannot run async: each event stream would hold a thread for its whole life.",
            hint="Use its async twin, or mark it with django.utils.decorators.sync_and_async_middleware.",
            id="realtime.W012",
        )
        for path in settings.MIDDLEWARE
        if not getattr(import_string(path), "async_capable", False)
    ]


@register("realtime")
def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """W013: SQLite refuses writers at once that could have waited."""
    return [
        Warning(
            f"DATABASES[{alias!r}] is SQLite without transaction_mode IMMEDIATE: of two that write at the "
            "same time one fails with “database is locked”.",
            hint="Give it OPTIONS with transaction_mode, timeout and WAL as in docs/integrate.md.",
            id="realtime.W013",
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ENGINE") == "django.db.backends.sqlite3"
        and database.get("OPTIONS", {}).get("transaction_mode", "").upper() not in ("IMMEDIATE", "EXCLUSIVE")
    ]
