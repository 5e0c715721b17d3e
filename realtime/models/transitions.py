"""The rules a task's row lives by: legal transitions, what final means, and clean values."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from realtime.conf import conf
from realtime.depth import DEPTH, is_deeper
from realtime.events import CANCELLED, COMPLETED, FAILED, FINAL, PENDING, RUNNING, STATUSES
from realtime.exceptions import IllegalTransition, InvalidValue
from realtime.redaction import Redactor, redactor

LEGAL: dict[str, frozenset[str]] = {
    PENDING: frozenset({RUNNING, FAILED, CANCELLED}),
    RUNNING: FINAL,
    COMPLETED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}

#: What may still change when the work is over: whose the task is and what it is called, what staff reads of
#: its end, and what is kept up to date with it: the time of the last change, and that nobody holds a lease.
OPEN_WHEN_FINAL = frozenset({"owner_id", "name", "updated_at", "traceback", "lease_expires_at"})

_BIGGEST = 2**63 - 1


def check_transition(before: str, after: str) -> None:
    """Raise ``IllegalTransition`` unless a task may go from ``before`` to ``after``."""
    if after != before and after not in LEGAL[before]:
        raise IllegalTransition(message=f"A {before} task cannot become {after}.")


def check_change(status: str, changed: set[str]) -> None:
    """Raise ``IllegalTransition`` when a task with this final ``status`` may not change so."""
    frozen = changed - OPEN_WHEN_FINAL
    if status in FINAL and frozen:
        raise IllegalTransition(
            message=f"A {status} task is final; {', '.join(sorted(frozen))} cannot change."
        )


def clean_text(value: object) -> str:
    """Return text that every database and every client can hold: no NUL, no lone surrogate."""
    return str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _redactor() -> Redactor | None:
    return redactor(tuple(conf.REDACT_NAMES)) if conf.REDACT else None


def safe_text(text: str) -> str:
    """Return what may be stored of clean text: no password, no token (``REDACT``).

    Hidden when it is written, not where it is shown: what is not there, no event, page, mail or backup
    can tell.
    """
    hiding = _redactor()
    return hiding.text(text) if hiding and text else text


def safe_json(value: Any) -> Any:
    """Return what may be stored of plain JSON, in the same way."""
    hiding = _redactor()
    return hiding.json(value) if hiding and value is not None else value


def clean_short(name: str, value: object) -> str:
    """Return a name or a phase; raise ``InvalidValue`` when it is too long."""
    text = clean_text(value)
    if len(text) > 255:
        raise InvalidValue(message=f"{name} has at most 255 characters.")
    return safe_text(text)[:255]


def clean_long(value: object) -> str:
    """Return a message, an error or a traceback."""
    return safe_text(clean_text(value))


def clean_result(value: Any) -> Any:
    """Return a result; raise ``InvalidValue`` for what JSON cannot hold, or is nested too deeply."""
    return safe_json(clean_json(value, "result"))


def clean_json(value: Any, field: str | None = None) -> Any:
    """Return ``value`` as plain JSON values; dates and decimals become text.

    Raises ``InvalidValue``, about ``field``, for what JSON cannot hold, such as NaN or an object of an
    unknown class, and for what is nested deeper than :data:`~realtime.depth.DEPTH` levels.
    """
    if value is None:
        return None
    try:
        text = json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False)
        plain = json.loads(text)
    except RecursionError:
        raise _too_deep(field) from None
    except (TypeError, ValueError) as error:
        message = f"{field or 'The value'} cannot be stored as JSON: {error}"
        raise InvalidValue(message=message, field=field) from error
    if text.count("[") + text.count("{") > DEPTH and is_deeper(plain):
        raise _too_deep(field)
    # Escapes are how json.dumps writes the two things that clean_text is about.
    return _clean_tree(plain) if "\\u0000" in text or "\\ud" in text else plain


def _too_deep(field: str | None) -> InvalidValue:
    return InvalidValue(message=f"{field or 'The value'} is nested deeper than {DEPTH} levels.", field=field)


def copied(value: Any) -> Any:
    """Return a copy of what a row holds; of what plain SQL has put there and nobody could write, itself."""
    try:
        return clean_json(value)
    except InvalidValue:
        return value


def _clean_tree(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean_tree(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _clean_tree(item) for key, item in value.items()}
    return value


def clean_progress(value: float) -> int:
    """Return progress as a whole percent, rounded down; raise ``InvalidValue`` outside 0-100."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidValue(message=f"progress is a number from 0 to 100, not {value!r}.")
    return int(value)


def clean_count(name: str, value: int | None) -> int | None:
    """Return a count of things; raise ``InvalidValue`` unless it is a whole number from 0."""
    if value is None and name == "total":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _BIGGEST:
        raise InvalidValue(message=f"{name} is a whole number from 0 to {_BIGGEST}, not {value!r}.")
    return value


def clean_status(value: str) -> str:
    """Return a status; raise ``InvalidValue`` for a word that is none."""
    if value not in STATUSES:
        raise InvalidValue(message=f"status is one of {', '.join(STATUSES)}, not {value!r}.")
    return str(value)


def clean_value(name: str, value: Any) -> Any:
    """Return a value for ``QuerySet.update``; expressions are left to the database."""
    if hasattr(value, "resolve_expression"):
        return value
    if clean := CLEAN.get(name):
        return clean(value)
    return clean_text(value) if isinstance(value, str) else value


#: What each field of a task holds of a value that it is given; each raises ``InvalidValue``.
CLEAN: dict[str, Callable[[Any], Any]] = {
    "name": partial(clean_short, "name"),
    "phase": partial(clean_short, "phase"),
    "message": clean_long,
    "error": clean_long,
    "traceback": clean_long,
    "result": clean_result,
    "status": clean_status,
    "progress": clean_progress,
    "done": partial(clean_count, "done"),
    "total": partial(clean_count, "total"),
}


def percent(done: int, total: int | None) -> int | None:
    """Return how much of ``total`` is done, 0-100 rounded down, or None when nobody can know.

    Nothing of nothing is not known either: only the task's completion makes it 100.
    """
    if not total:
        return None
    return min(100, done * 100 // total)
