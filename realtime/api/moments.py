"""Times as requests bring them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

#: RFC 3339 §5.6.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339_moment(text: str) -> datetime:
    """Return a time. Raises ``ValueError``, ``OverflowError`` or ``TypeError`` for what is none."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)
