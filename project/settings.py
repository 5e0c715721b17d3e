"""Settings of the project, as the environment says.

With nothing set it runs embedded: SQLite, an in-memory channel layer, loopback only. `DATABASE_URL`
and `REDIS_URL` turn the same code into a deployment of several processes. docs/deploy.md lists
every variable.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from project import environment

BASE_DIR = Path(__file__).resolve().parent.parent

LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

# Security

DEBUG = environment.flag("DEBUG")
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS") or LOOPBACK_HOSTS
if DEBUG and not all(map(environment.is_loopback, ALLOWED_HOSTS)):
    # Debug pages show settings and source to whoever asks.
    raise ImproperlyConfigured("DEBUG=1 is for this machine only: unset it or ALLOWED_HOSTS.")
SECRET_KEY = environment.text("SECRET_KEY") or environment.installation_key(BASE_DIR / ".secret_key")
# Behind a proxy that ends TLS, Django sees http and would refuse the browser's https origin on
# every form.
CSRF_TRUSTED_ORIGINS = [
    f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS if host != "*"
]
if environment.flag("HTTPS"):
    # A proxy that ends TLS says so in this header, and sets it itself whatever the client sent.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Servers: where `make run` and `make serve` listen, and how many processes a deployment starts

BIND = environment.text("BIND", "127.0.0.1")  # of `make serve`; `make run` stays on this machine
PORT = environment.number("PORT", 8000, highest=65_535)
WORKERS = environment.number("WORKERS", 1, highest=1024)

# Application

INSTALLED_APPS = [
    # First, as its runserver replaces the one of staticfiles. To all others it would only load Twisted.
    *(["daphne"] if "runserver" in sys.argv else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "rest_framework_simplejwt",
    "drf_spectacular",
    "corsheaders",
    "realtime",
    "project.demo",
]
# Each one can run async: a middleware that cannot would hold a thread for the life of every event
# stream.
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",  # first: refusals carry its headers too
    "django.middleware.security.SecurityMiddleware",
    "project.csp.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "demo"
LOGOUT_REDIRECT_URL = "login"
STATIC_URL = "static/"
STATIC_ROOT = environment.text("STATIC_ROOT") or BASE_DIR / "staticfiles"
LANGUAGE_CODE = "en"
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    # The browsable API needs inline scripts, which the policy above forbids.
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SPECTACULAR_SETTINGS = {  # of `manage.py spectacular`
    "TITLE": "Realtime tasks",
    "VERSION": "1.0",
    "SCHEMA_PATH_PREFIX": "/api",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [],  # no names for enumerations: several fields are called status
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=60),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
}
REALTIME = environment.realtime()

# Pages of other origins: none, but those that may open streams with the cookie may call the API too
_ORIGINS = REALTIME.get("ALLOWED_ORIGINS")
CORS_ALLOWED_ORIGINS = _ORIGINS if isinstance(_ORIGINS, list) else []
CORS_ALLOW_CREDENTIALS = True
CORS_URLS_REGEX = r"^/(api/|events|broadcast)"
CORS_ALLOW_HEADERS = (*default_headers, "last-event-id", "idempotency-key")
CORS_EXPOSE_HEADERS = ("retry-after", "realtime-position", "location")

# Database

if url := environment.text("DATABASE_URL"):
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=0))
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}") from error
else:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}
if database["ENGINE"] == "django.db.backends.postgresql":
    # Under ASGI a kept connection dies with its thread and leaks; the pool belongs to the process
    # instead.
    pool = {"min_size": 1, "max_size": environment.number("DATABASE_POOL", 10, highest=1000), "timeout": 10}
    # A server that vanished without a word is noticed within half a minute, not after hours.
    wait = {"connect_timeout": 5, "keepalives_idle": 15, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
    database["OPTIONS"] = wait | database.get("OPTIONS", {}) | {"pool": pool}
elif database["ENGINE"] == "django.db.backends.sqlite3":
    # A transaction that starts by reading cannot wait for a writer when it comes to write:
    # IMMEDIATE makes it wait at its start, for up to `timeout` seconds. WAL lets readers go on
    # meanwhile.
    database.setdefault("OPTIONS", {}).update(
        transaction_mode="IMMEDIATE",
        timeout=20,
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    )
DATABASES = {"default": database}

# Channel layer

if redis_url := environment.text("REDIS_URL"):
    if not redis_url.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured("REDIS_URL must begin with redis://, rediss:// or unix://.")
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                "hosts": [
                    {
                        "address": redis_url,
                        # For commands; the layer listens with a deadline of its own.
                        "socket_timeout": 5,
                        "socket_connect_timeout": 5,
                        "health_check_interval": 15,
                        "max_connections": 100,
                        **environment.keepalive(redis_url),
                    }
                ],
            },
        },
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Logging: one handler, and no credential gets past it

LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", "WARNING", "ERROR")
_THROUGH_ROOT = {"handlers": [], "level": LOG_LEVEL, "propagate": True}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "realtime.logs.RedactCredentials"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": "line"},
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # The handlers that Django and the servers bring have no filter: the root's takes their place.
    "loggers": dict.fromkeys(
        ("django", "django.server", "daphne", "uvicorn", "uvicorn.access", "uvicorn.error"),
        _THROUGH_ROOT,
    ),
}
