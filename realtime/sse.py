"""Server-Sent Events encoding (WHATWG HTML §9.2.6). Pure, no Django."""

from __future__ import annotations

import re

#: The line ends of the event-stream grammar: a CR, LF or CRLF inside a value would start a new field.
_LINE_END = re.compile(r"\r\n|\r|\n")

COMMENT = b":heartbeat\n\n"


def _one_line(value: str) -> str:
    """Make ``value`` safe as a one-line field: an id with NUL would be ignored by every parser."""
    return _LINE_END.sub(" ", value).replace("\x00", "")


def encode(
    data: str, *, event: str | None = None, id: int | str | None = None, retry: int | None = None
) -> bytes:
    """Return one event as UTF-8 bytes.

    ``data`` is text of any kind: one ``data:`` line is written per line. ``retry`` is in milliseconds.
    """
    lines = []
    if event is not None:
        lines.append(f"event: {_one_line(event)}")
    lines.extend(f"data: {line}" for line in _LINE_END.split(data))
    if id is not None:
        lines.append(f"id: {_one_line(str(id))}")
    if retry is not None:
        lines.append(f"retry: {int(retry)}")
    # A lone surrogate cannot be UTF-8; it is replaced, for an exception would end the stream.
    return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def encode_json(data: bytes, event: str, id: int | None = None, retry: int | None = None) -> bytes:
    """Return one event whose data is JSON bytes, which never hold a raw line end (RFC 8259 §7)."""
    tail = b"" if id is None else b"\nid: %d" % id
    if retry is not None:
        tail += b"\nretry: %d" % retry
    return b"event: %s\ndata: %s%s\n\n" % (event.encode(), data, tail)
