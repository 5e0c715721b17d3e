"""Everything that ``manage.py realtime_check`` can find: what is wrong, and how to mend it. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``id`` does not change; ``detail`` says what was seen here."""

    id: str
    message: str
    hint: str
    level: str = ERROR
    detail: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it for JSON."""
        return asdict(self)


#: By id: the level, the message and the hint.
KNOWN: dict[str, tuple[str, str, str]] = {
    # Of this process
    "asgi_broken": (ERROR, "ASGI_APPLICATION cannot be loaded.", "Mend asgi.py; the detail is its error."),
    "guard_missing": (
        ERROR,
        "The guard is not the outermost application of asgi.py: tokens in URLs reach logs, and each stream "
        "holds a thread.",
        "application = guard(ProtocolTypeRouter({...})), from realtime.middleware.",
    ),
    "urls_missing": (
        ERROR,
        "The addresses of the app are not in the URLs of the site.",
        'urlpatterns = [..., path("", include("realtime.urls"))].',
    ),
    "websocket_missing": (
        ERROR,
        "The ASGI application does not serve the WebSocket.",
        '"websocket": URLRouter(websocket_urlpatterns) in ProtocolTypeRouter, from realtime.routing.',
    ),
    "database_unreachable": (ERROR, "The event log cannot be read.", "Look at DATABASES, and run migrate."),
    "migrations_missing": (
        ERROR,
        "Migrations of the app have not been applied.",
        "manage.py migrate realtime",
    ),
    "layer_unreachable": (
        ERROR,
        "The channel layer brings nothing back: updates are late by up to LOG_CHECK_INTERVAL.",
        "Is Redis running, and is its address that of CHANNEL_LAYERS?",
    ),
    "layer_in_memory": (
        ERROR,
        "Several server processes live, and the in-memory channel layer reaches one: updates are late by up "
        "to LOG_CHECK_INTERVAL.",
        "CHANNEL_LAYERS: channels_redis.pubsub.RedisPubSubChannelLayer.",
    ),
    # Of the way to the site
    "host_not_allowed": (
        ERROR,
        "The host of the address is not in ALLOWED_HOSTS; no credential was sent there.",
        "Add it to ALLOWED_HOSTS, or mend the address.",
    ),
    "no_tls": (
        WARNING,
        "The address is not https: tokens and cookies can be read on the way.",
        "End TLS at the proxy.",
    ),
    "unreachable": (
        ERROR,
        "The address does not answer.",
        "Look at DNS, the proxy, the firewall and the server.",
    ),
    "redirected": (
        ERROR,
        "The address answers with a redirect.",
        "Give the address it leads to. If it leads to itself: SECURE_PROXY_SSL_HEADER, and in nginx "
        "proxy_set_header X-Forwarded-Proto $scheme;",
    ),
    "proxy_error": (
        ERROR,
        "The proxy cannot reach the server.",
        "Look at its upstream, and whether the server runs.",
    ),
    "host_refused": (
        ERROR,
        "The site refuses the request (400).",
        "The proxy changes the host: proxy_set_header Host $host; and that host in ALLOWED_HOSTS.",
    ),
    "not_ours": (
        ERROR,
        "What answers there is not this app.",
        "Mend the address; does the proxy pass on /events, /ws and /api?",
    ),
    "wsgi": (
        ERROR,
        "The site is served by WSGI, or by a worker class that speaks no ASGI: there can be no streams.",
        "uvicorn mysite.asgi:application; with gunicorn, the worker class uvicorn_worker.UvicornWorker.",
    ),
    "authorization_dropped": (
        ERROR,
        "The Authorization header does not reach the app.",
        "proxy_set_header Authorization $http_authorization; and no auth_basic before the app.",
    ),
    "credential_refused": (
        ERROR,
        "The site refuses a token that this project has signed.",
        "SECRET_KEY and the database must be those of the site, in each of its processes.",
    ),
    "refused": (
        ERROR,
        "The site refuses the connection.",
        "The detail has its code: see docs/protocol.md, Errors.",
    ),
    # Of the streams
    "sse_held": (
        ERROR,
        "The event stream is held back: nothing of it arrives.",
        "Buffering. nginx: proxy_buffering off; proxy_http_version 1.1; Apache: flushpackets=on.",
    ),
    "sse_late": (
        ERROR,
        "Events arrive late on the event stream, and in time on the WebSocket.",
        "Buffering. nginx: proxy_buffering off; gzip off; for /events.",
    ),
    "sse_compressed": (
        ERROR,
        "The event stream is compressed on the way: events wait for one another.",
        "No compression for text/event-stream: gzip off; for /events, and no other compressing middleware.",
    ),
    "sse_headers": (
        WARNING,
        "Headers of the event stream are changed on the way.",
        "Let Content-Type and Cache-Control: no-cache, no-transform through.",
    ),
    "upgrade_missing": (
        ERROR,
        "The WebSocket cannot be opened: the upgrade is not passed on.",
        "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "
        '"upgrade";',
    ),
    "socket_silent": (ERROR, "The WebSocket opens, and nothing arrives on it.", "A proxy holds frames back."),
    "events_missing": (
        ERROR,
        "A change that was made here does not arrive.",
        "Do this command and the site have the same database? Is /readyz well?",
    ),
    "origin_refused": (
        ERROR,
        "The site's own pages may not open a WebSocket with the session cookie.",
        "proxy_set_header Host $host; (or USE_X_FORWARDED_HOST), and the public origin in ALLOWED_ORIGINS.",
    ),
    "csrf_refused": (
        ERROR,
        "The site's own pages may not send forms: the Origin check refuses them.",
        "CSRF_TRUSTED_ORIGINS with the public origin, SECURE_PROXY_SSL_HEADER, proxy_set_header Host $host;",
    ),
    "idle_timeout": (
        ERROR,
        "A connection on which nothing happens is cut before its heartbeat.",
        "proxy_read_timeout 120s; and the same of every load balancer; or a shorter SSE_HEARTBEAT_INTERVAL "
        "and PING_INTERVAL.",
    ),
    "no_user": (ERROR, "There is no active user to look as.", "Create one, or name one: --user."),
}


def found(id: str, detail: object = "") -> Finding:
    """Return the finding of that id."""
    level, message, hint = KNOWN[id]
    return Finding(id, message, hint, level, str(detail))
