"""What the shared sites of the flow tests are made of."""

from __future__ import annotations

from typing import Any

OBSERVED = {"DJANGO_SETTINGS_MODULE": "tests.flow_settings"}

#: The limits of the site `narrow`.
PER_USER, PER_ADDRESS, BURST = 3, 5, 10
#: What the sites are made of; `arguments` go to their servers.
PROFILES: dict[str, dict[str, Any]] = {
    # The default of who just tries it, but a change in another process is found five times as soon.
    "embedded": {"settings": {"LOG_CHECK_INTERVAL": 0.2}, "env": OBSERVED},
    # A ring so small that who comes back must often go to the log itself.
    # Crowds of one person come from one address.
    "cluster": {
        "database": "postgres",
        "redis": True,
        "settings": {
            "RING_EVENTS": 2,
            "MAX_CONNECTIONS_PER_USER": 1000,
            "MAX_CONNECTIONS_PER_ADDRESS": 1000,
        },
    },
    "quick": {
        "settings": {
            "LOG_CHECK_INTERVAL": 0.2,
            "SSE_HEARTBEAT_INTERVAL": 0.4,
            "SSE_COMMENT_INTERVAL": 0.6,
            "PING_INTERVAL": 0.5,
            "SEND_TIMEOUT": 2,
            "MAX_CONNECTIONS_PER_USER": 1000,
            "MAX_CONNECTIONS_PER_ADDRESS": 1000,
        },
        "env": OBSERVED | {"FLOW_GZIP": "1"},
    },
    # Clients may stop reading for long, and must not cost much meanwhile.
    "patient": {
        "settings": {
            "LOG_CHECK_INTERVAL": 0.2,
            "RING_BYTES": 4_000_000,
            "SEND_TIMEOUT": 60,
            "WRITE_WINDOW": 400_000,
        }
    },
    "brief": {"settings": {"LOG_CHECK_INTERVAL": 0.2, "STREAM_MAX_AGE": 0.6}},
    # Strict with its clients; those that answer pings must go on doing so.
    "narrow": {
        "settings": {
            "LOG_CHECK_INTERVAL": 0.2,
            "PING_INTERVAL": 0.2,
            "PONG_TIMEOUT": 0.8,
            "SEND_TIMEOUT": 2,
            "MAX_CONNECTIONS_PER_USER": PER_USER,
            "MESSAGE_RATE": 5,
            "MESSAGE_BURST": BURST,
            "DRAIN_SECONDS": 2,
            "TRUSTED_PROXIES": ["127.0.0.1"],
            "MAX_CONNECTIONS_PER_ADDRESS": PER_ADDRESS,
            "CONNECTIONS_INTERVAL": 0.05,
        },
        "env": OBSERVED,
    },
}
PINGS = {
    "daphne": ["--ping-interval", "1", "--ping-timeout", "2"],
    "uvicorn": ["--ws-ping-interval", "1", "--ws-ping-timeout", "2"],
}
