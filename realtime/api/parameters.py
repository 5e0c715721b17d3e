"""The query string, read strictly: what is not known, or not valid, is said and never passed over."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from datetime import datetime

from rest_framework.request import Request

from realtime.api.moments import rfc3339_moment
from realtime.exceptions import INVALID_PARAMETER, InvalidValue
from realtime.models.transitions import clean_text

_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)


class Parameters:
    """The parameters of one request. Every method raises ``InvalidValue``, which names the parameter."""

    def __init__(self, request: Request, known: Collection[str]) -> None:
        """An unknown name is refused: a typing error must not return everything."""
        self._given = request.query_params
        for name in self._given:
            if name not in known:
                raise wrong(name[:100], f"There is no such parameter; there are {', '.join(known)}.")

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter that may be repeated."""
        return [clean_text(value) for value in self._given.getlist(name)]

    def one(self, name: str, longest: int = 255) -> str | None:
        """Return the text of a parameter, or None when it is not there."""
        values = self.all(name)
        if len(values) > 1:
            raise wrong(name, "This parameter is given once.")
        if values and len(values[0]) > longest:
            raise wrong(name, f"At most {longest} characters.")
        return values[0] if values else None

    def words(self, name: str, allowed: Collection[str]) -> list[str]:
        """Return the values of a repeated parameter, each one of ``allowed``."""
        words = self.all(name)
        for word in words:
            _check_word(name, word, allowed)
        return words

    def flag(self, name: str) -> bool | None:
        """Return true or false, written so."""
        text = self.one(name)
        if text is None:
            return None
        _check_word(name, text, ("true", "false"))
        return text == "true"

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        text = self.one(name)
        if text is None:
            return default
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise wrong(name, f"A whole number from {low} to {high}.")
        return int(text)

    def uuid(self, name: str) -> uuid.UUID | None:
        """Return an id."""
        text = self.one(name)
        return None if text is None else as_uuid(name, text)

    def uuids(self, name: str) -> list[str]:
        """Return the ids of a repeated parameter, each in its one written form."""
        return [str(as_uuid(name, text)) for text in self.all(name)]

    def moment(self, name: str) -> datetime | None:
        """Return a time, given as RFC 3339."""
        text = self.one(name)
        if text is None:
            return None
        try:
            return rfc3339_moment(text)
        except (ValueError, OverflowError):
            raise wrong(name, "A time as RFC 3339, such as 2026-11-21T00:50:19Z.") from None


def as_uuid(name: str, text: str) -> uuid.UUID:
    """Return an id; ``name`` says in the error whose."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise wrong(name, "A task's id is a UUID.") from None


def wrong(name: str, message: str) -> InvalidValue:
    """Return the error of a parameter."""
    return InvalidValue(INVALID_PARAMETER, f"{name}: {message}", field=name)


def _check_word(name: str, word: str, allowed: Collection[str]) -> None:
    if word not in allowed:
        raise wrong(name, f"One of {', '.join(allowed)}.")
