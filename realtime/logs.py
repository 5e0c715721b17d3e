"""Keeps credentials out of logs: a filter for every handler."""

from __future__ import annotations

import logging
import re
from contextlib import suppress

#: ``?token=…`` and its like in a URL, and a bearer header.
_CREDENTIAL = re.compile(r"(?i)((?:token|ticket|sessionid|password)=|bearer[ ,:]+)[A-Za-z0-9._~+/%=-]+")


def redact(text: str) -> str:
    """Return ``text`` with every credential replaced."""
    return _CREDENTIAL.sub(r"\1***", text)


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
