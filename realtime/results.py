"""What a task's result is shown as: text, links, values by name, or a table. ``result.js`` does the same."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

#: So many rows of a result are shown, and so many columns.
ROWS = 20
COLUMNS = 6

#: An address that a link may have: of the web, or of this site.
_ADDRESS = re.compile(r"(https?://|/(?![/\\]))[^\s\\]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Value:
    """A value as people read it; ``link`` says that it is an address."""

    text: str
    link: bool = False
    number: bool = False

    @classmethod
    def of(cls, value: Any) -> Value:
        """Return the value as text."""
        if value is None:
            return cls("–")
        if isinstance(value, str):
            return cls(value, link=_ADDRESS.fullmatch(value) is not None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return cls(f"{value:,}", number=True)
        return cls(json.dumps(value, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Result:
    """One of ``value``, ``pairs`` and ``rows`` (under ``columns``) is there; ``more`` were left out."""

    value: Value | None = None
    pairs: tuple[tuple[str, Value], ...] = ()
    columns: tuple[Value, ...] = ()
    rows: tuple[tuple[Value, ...], ...] = ()
    more: int = 0

    @classmethod
    def of(cls, result: Any) -> Result | None:
        """Return what a result is shown as, None when there is none. ``result`` is any JSON value."""
        if result is None or result in ("", {}, []):
            return None
        if isinstance(result, dict):
            pairs = [(_words(name), Value.of(value)) for name, value in list(result.items())[:ROWS]]
            return cls(pairs=tuple(pairs), more=max(0, len(result) - ROWS))
        if isinstance(result, list) and all(isinstance(record, dict) for record in result):
            names = list(result[0])[:COLUMNS]
            rows = [tuple(Value.of(record.get(name)) for name in names) for record in result[:ROWS]]
            columns = tuple(Value(_words(name), number=Value.of(result[0][name]).number) for name in names)
            return cls(columns=columns, rows=tuple(rows), more=max(0, len(result) - ROWS))
        return cls(value=Value.of(result))


def _words(name: str) -> str:
    return name.replace("_", " ")
