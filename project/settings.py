"""Settings of the project; the only module that reads the environment.

With nothing set it runs embedded: SQLite, an in-memory channel layer, loopback only. `DATABASE_URL`
and `REDIS_URL` turn the same code into a deployment of several processes. docs/deploy.md lists
every variable.
"""

import ipaddress
import json
import os
import secrets
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


def _flag(name: str) -> bool:
    """The environment's yes or no; anything else is refused, for it might mean the other."""
    text = os.environ.get(name, "").strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {text!r}.")


def _number(name: str, default: int, highest: int) -> int:
    """The environment's whole number between 1 and `highest`."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= highest):
        raise ImproperlyConfigured(f"{name} must be a number from 1 to {highest}, not {text!r}.")
    return int(text)


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach the site under that host name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _installation_key(path: Path) -> str:
    """The secret key of this installation, made on first use.

    It is written aside and linked into place: of two processes that start together the second finds
    the first one's key complete, never half of it, and both sign alike.
    """
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:
                draft.write(secrets.token_urlsafe(64))  # mode 0600, as all temporary files
                draft.flush()
                with suppress(FileExistsError):  # the other process was first: its key is the key
                    os.link(draft.name, path)
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(f"Set SECRET_KEY: no key can be kept in {path}.") from error


def _realtime(prefix: str = "REALTIME_") -> dict[str, Any]:
    """The settings of the app that the environment overrides: JSON where it parses, else text.

    Unknown keys are passed on: `manage.py check` names and refuses them, where a filter here would
    hide a typing error.
    """
    settings: dict[str, Any] = {}
    for name, text in os.environ.items():
        if name.startswith(prefix):
            try:
                settings[name.removeprefix(prefix)] = json.loads(text)
            except ValueError:
                settings[name.removeprefix(prefix)] = text
    return settings


# Security

DEBUG = _flag("DEBUG")
ALLOWED_HOSTS = [
    host.strip() for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host.strip()
] or LOOPBACK_HOSTS
if DEBUG and not all(map(_is_loopback, ALLOWED_HOSTS)):
    # Debug pages show settings and source to whoever asks.
    raise ImproperlyConfigured("DEBUG=1 is for this machine only: unset it or ALLOWED_HOSTS.")
SECRET_KEY = os.environ.get("SECRET_KEY") or _installation_key(BASE_DIR / ".secret_key")
# Behind a proxy that ends TLS, Django sees http and would refuse the browser's https origin on
# every form.
CSRF_TRUSTED_ORIGINS = [
    f"https://{'*' if host.startswith('.') else ''}{host}" for host in ALLOWED_HOSTS if host != "*"
]
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

# Servers: where `make run` listens, and how many processes a deployment starts

PORT = _number("PORT", 8000, highest=65_535)
WORKERS = _number("WORKERS", 1, highest=1024)

# Application

INSTALLED_APPS = [
    "daphne",  # first: its runserver replaces the one of staticfiles
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "rest_framework_simplejwt",
    "realtime",
    "project.demo",
]
# Each one can run async: a middleware that cannot would hold a thread for the life of every event
# stream.
MIDDLEWARE = [
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
STATIC_ROOT = BASE_DIR / "staticfiles"
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
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=60),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
}
REALTIME = _realtime()

# Database

if url := os.environ.get("DATABASE_URL"):
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=0))
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}") from error
else:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}
if database["ENGINE"] == "django.db.backends.postgresql":
    # Under ASGI a kept connection dies with its thread and leaks; the pool belongs to the process
    # instead.
    database.setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 10, "timeout": 10}
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

if redis_url := os.environ.get("REDIS_URL"):
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
                        "socket_keepalive": True,
                        "health_check_interval": 15,
                        "max_connections": 100,
                    }
                ],
            },
        },
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Logging: one handler, and no credential gets past it

_THROUGH_ROOT = {"handlers": [], "level": "INFO", "propagate": True}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "realtime.logs.RedactCredentials"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": "line"},
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    # The handlers that Django and the servers bring have no filter: the root's takes their place.
    "loggers": dict.fromkeys(
        ("django", "django.server", "daphne", "uvicorn", "uvicorn.access", "uvicorn.error"),
        _THROUGH_ROOT,
    ),
}
