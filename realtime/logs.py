"""Keeps credentials out of logs: a filter for every handler."""

from __future__ import annotations

import logging
import re
from contextlib import suppress

from realtime.redaction import FORMS, HIDDEN, Rule, replaced

_NAMES = r"(?:token|ticket|session(?:id)?|password|access|refresh)"
#: What gives a credential away, and what is kept of it: what stands before the value.
_CREDENTIALS = [
    # A URL's ``?token=…``, a cookie's ``sessionid=…``; up to what ends a value in either.
    Rule(("=",), re.compile(rf"(?i)({_NAMES}=)[^\s&;,\"'<>\\]+"), r"\1" + HIDDEN),
    # A header, a pair of subprotocols, and both as Python prints them.
    Rule(("bearer",), re.compile(r"""(?i)(bearer['"]?[ ,:]+b?['"]?)[A-Za-z0-9._~+/=-]+"""), r"\1" + HIDDEN),
    # JSON, a dict as Python prints it, and either within a quoted text.
    Rule((":",), re.compile(rf"""(?i)(\\?["']{_NAMES}\\?["']\s*:\s*\\?["'])[^"'\\]+"""), r"\1" + HIDDEN),
    # Wherever it stands: a JSON Web Token (its header begins with ``{"``).
    Rule(("eyj",), re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*")),
    *FORMS,
]


def redact(text: str) -> str:
    """Return ``text`` with every credential replaced."""
    return replaced(text, _CREDENTIALS)


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
