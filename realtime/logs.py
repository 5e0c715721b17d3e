"""Keeps credentials out of logs: a filter for every handler."""

from __future__ import annotations

import logging
import re
from contextlib import suppress

_NAMES = r"(?:token|ticket|session(?:id)?|password|access|refresh)"
#: What gives a credential away, and what is kept of it: what stands before the value.
_CREDENTIALS = [
    # A URL's ``?token=…``, a cookie's ``sessionid=…``; up to what ends a value in either.
    (re.compile(rf"(?i)({_NAMES}=)[^\s&;,\"'<>\\]+"), r"\1***"),
    # A header, a pair of subprotocols, and both as Python prints them.
    (re.compile(r"""(?i)(bearer['"]?[ ,:]+b?['"]?)[A-Za-z0-9._~+/=-]+"""), r"\1***"),
    # JSON, a dict as Python prints it, and either within a quoted text.
    (
        re.compile(rf"""(?i)(\\?["']{_NAMES}\\?["']\s*:\s*\\?["'])[^"'\\]+"""),
        r"\1***",
    ),
    # Wherever it stands: a JSON Web Token (its header begins with ``{"``), and a ticket of ours.
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*"), "***"),
    (re.compile(r"tkt_[\w-]{16,}"), "***"),
]


def redact(text: str) -> str:
    """Return ``text`` with every credential replaced."""
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return text


class RedactCredentials(logging.Filter):
    """Rewrites a record whose message or arguments hold a credential, whoever logged it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, redacted."""
        if isinstance(record.msg, str):
            record.msg = redact(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(redact(a) if isinstance(a, str) else a for a in record.args)
        elif isinstance(record.args, dict):
            record.args = {k: redact(v) if isinstance(v, str) else v for k, v in record.args.items()}
        with suppress(Exception):  # logging itself tells of arguments that do not fit
            message = record.getMessage()
            if (safe := redact(message)) != message:
                # Of objects that become text only when written, as Twisted's messages do.
                record.msg, record.args = safe, None
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
