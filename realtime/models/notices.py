"""Clean values of a broadcast: plain text, sizes, and audiences that exist."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.utils.html import strip_tags

from realtime.events import AUDIENCES, EVERYONE, GROUP, STAFF, USERS
from realtime.exceptions import InvalidValue
from realtime.models.broadcast import LEVELS, TYPES, everyone
from realtime.models.transitions import clean_json, clean_text

#: Bytes of JSON that ``data`` may have.
DATA_BYTES = 16_384
#: Users whom one broadcast can name.
USER_LIMIT = 500
#: What could still open a tag once complete tags are gone, as in ``<img onerror=...`` without its end.
_OPENING = re.compile(r"<(?=[A-Za-z/!?])")
_CHOICES = {"type": TYPES, "level": LEVELS}


def clean_choice(field: str, value: object) -> str:
    """Return a type or a level; raise ``InvalidValue`` for a word that is none."""
    if not isinstance(value, str) or value not in _CHOICES[field]:
        raise InvalidValue(message=f"{field} is one of {', '.join(_CHOICES[field])}.", field=field)
    return value


def without_markup(field: str, text: str) -> str:
    """Return ``text`` without tags, and without what would become one next to other text.

    Raises ``InvalidValue`` for so much of it that taking it out would take too long.
    """
    previous = None
    try:
        while previous != text:
            previous, text = text, _OPENING.sub("< ", strip_tags(text))
    except SuspiciousOperation:
        raise InvalidValue(message=f"{field} holds too many signs of markup.", field=field) from None
    return text


def plain_text(field: str, value: object, longest: int, *, required: bool = False) -> str:
    """Return one line or several of plain text; raise ``InvalidValue`` when it is too long or missing."""
    if not isinstance(value, str):
        raise InvalidValue(message=f"{field} is text.", field=field)
    # The limit first, as markup of a megabyte need not be looked at; and again for what is left of it.
    text = value if len(value) > longest else without_markup(field, clean_text(value))
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()
    if len(text) > longest:
        raise InvalidValue(message=f"{field} has at most {longest} characters.", field=field)
    if required and not text:
        raise InvalidValue(message=f"{field} is required.", field=field)
    return text


def clean_data(value: Any) -> Any:
    """Return JSON values whose texts hold no markup; raise ``InvalidValue`` for others or too many."""
    clean = clean_json(value, "data")
    if len(msgspec.json.encode(clean)) > DATA_BYTES:
        raise InvalidValue(message=f"data has at most {DATA_BYTES} bytes as JSON.", field="data")
    return _plain_tree(clean)


def _plain_tree(value: Any) -> Any:
    if isinstance(value, str):
        return without_markup("data", value)
    if isinstance(value, list):
        return [_plain_tree(item) for item in value]
    if isinstance(value, dict):
        plain = {without_markup("data", key): _plain_tree(item) for key, item in value.items()}
        if len(plain) < len(value):
            raise InvalidValue(message="data has two keys that differ in markup only.", field="data")
        return plain
    return value


def clean_audience(value: Any) -> dict[str, Any]:
    """Return an audience as it is stored; raise ``InvalidValue`` for a group or a user that is unknown."""
    if value is None:
        return everyone()
    if isinstance(value, str):
        value = {"kind": value}
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in AUDIENCES:
        raise _bad(f"audience has a kind: one of {', '.join(AUDIENCES)}.")
    extra = value.keys() - {"kind", kind}
    if extra or (kind in (EVERYONE, STAFF) and len(value) > 1):
        raise _bad(f"audience of kind {kind} has nothing else in it but what it names.")
    if kind == GROUP:
        group = _group(value.get("group"))
        # With its name, for the record: it may be called something else, or be gone, when somebody looks.
        return {"kind": GROUP, "group": str(group.pk), "name": group.name}
    if kind == USERS:
        return {"kind": USERS, "users": _users(value.get("users"))}
    return {"kind": kind}


def _group(asked: Any) -> Group:
    if isinstance(asked, bool) or not isinstance(asked, int | str):
        raise _bad("audience.group is the id or the name of a group.")
    group = None if isinstance(asked, int) else Group.objects.filter(name=clean_text(asked)).first()
    if group is None and str(asked).isascii() and str(asked).isdigit() and len(str(asked)) < 19:
        group = Group.objects.filter(pk=int(asked)).first()
    if group is None:
        raise _bad("audience.group is not a group that exists.")
    return group


def _users(asked: Any) -> list[str]:
    if not isinstance(asked, list) or not 0 < len(asked) <= USER_LIMIT:
        raise _bad(f"audience.users is a list of 1 to {USER_LIMIT} user ids.")
    key = get_user_model()._meta.pk
    try:
        ids = {key.get_prep_value(key.to_python(each)) for each in asked if not isinstance(each, bool)}
        found = set(get_user_model()._default_manager.filter(pk__in=ids).values_list("pk", flat=True))
    except (TypeError, ValueError, OverflowError, ValidationError):
        raise _bad("audience.users are user ids.") from None
    if len(found) != len(ids) or any(isinstance(each, bool) for each in asked):
        raise _bad("audience.users has somebody in it who does not exist.")
    return sorted(map(str, found))


def _bad(message: str) -> InvalidValue:
    return InvalidValue(message=message, field="audience")
