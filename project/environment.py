"""What the environment says, read and checked; an empty variable is as good as none."""

import ipaddress
import json
import os
import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The environment's text."""
    return os.environ.get(name) or default


def flag(name: str) -> bool:
    """The environment's yes or no; anything else is refused, for it might mean the other."""
    word = text(name).strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {word!r}.")


def number(name: str, default: int, highest: int) -> int:
    """The environment's whole number between 1 and `highest`."""
    digits = text(name, str(default))
    if not (digits.isascii() and digits.isdigit() and 1 <= int(digits) <= highest):
        raise ImproperlyConfigured(f"{name} must be a number from 1 to {highest}, not {digits!r}.")
    return int(digits)


def choice(name: str, default: str, *others: str) -> str:
    """The environment's word, in capital letters: the default or one of the others."""
    word = text(name, default).strip().upper()
    if word not in (default, *others):
        raise ImproperlyConfigured(f"{name} must be {', '.join((default, *others))}, not {word!r}.")
    return word


def names(name: str) -> list[str]:
    """The environment's names, with commas between them."""
    return [part.strip() for part in text(name).split(",") if part.strip()]


def realtime(prefix: str = "REALTIME_") -> dict[str, Any]:
    """The settings of the app that the environment overrides: JSON where it parses, else text.

    Unknown keys are passed on: `manage.py check` names and refuses them, where a filter here would
    hide a typing error.
    """
    settings: dict[str, Any] = {}
    for name, value in os.environ.items():
        if name.startswith(prefix):
            try:
                settings[name.removeprefix(prefix)] = json.loads(value)
            except ValueError:
                settings[name.removeprefix(prefix)] = value
    return settings


def installation_key(path: Path) -> str:
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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the site under that host name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def keepalive(redis_url: str) -> dict[str, Any]:
    """What makes the kernel notice a Redis that vanished without a word, within half a minute.

    A subscription only waits: nobody else would find out.
    """
    if redis_url.startswith("unix://"):
        return {}
    wanted = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    options = {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}
