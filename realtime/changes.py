"""What a write of live models' rows changes, told as events of the rows' topics."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connections, models

from realtime import log
from realtime.conf import conf
from realtime.exceptions import InvalidValue
from realtime.models.log import Event
from realtime.models.transitions import clean_json, safe_json
from realtime.publishing import append_after, event_of

if TYPE_CHECKING:
    from realtime.live import LiveModel

logger = logging.getLogger("realtime.topics")

CREATED, CHANGED, DELETED = "created", "changed", "deleted"

#: The public form of rows, by primary key.
PublicRows = dict[Any, dict[str, Any]]


def touches(model: type[LiveModel], names: Collection[str]) -> bool:
    """Tell whether a write of these fields may change what a live model tells."""
    live = [model._meta.get_field(name) for name in model.live_fields]
    told = {name for field in live for name in (field.name, getattr(field, "attname", ""))}
    return not told.isdisjoint(names) or any(getattr(field, "generated", False) for field in live)


def states(model: type[LiveModel], pks: Collection[Any], using: str, *, lock: bool = False) -> PublicRows:
    """Return rows in their public form; ``lock`` holds them, in one order, until the transaction ends."""
    plain: models.QuerySet[Any] = models.QuerySet(model, using=using)
    rows = plain.filter(pk__in=list(pks)).order_by("pk")
    if lock and connections[using].features.has_select_for_update:
        rows = rows.select_for_update()
    names = list(model.live_fields)
    found = rows.values_list("pk", *names)
    return {pk: public(dict(zip(names, values, strict=True))) for pk, *values in found}


def public(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields as JSON without secrets, the largest left out until they fit ``MAX_EVENT_SIZE``.

    What was left out is named in ``truncated``; so is, and logged, what JSON cannot hold: a change must not
    fail because it cannot be told.
    """
    clean: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in fields.items():
        try:
            clean[name] = clean_json(value)
        except InvalidValue as error:
            logger.warning("The field %s is not told: %s", name, error)
            left_out.append(name)
    data: dict[str, Any] = safe_json(clean)
    sizes = {name: len(msgspec.json.encode(value)) for name, value in data.items()}
    if left_out:
        data["truncated"] = left_out
    while sizes and len(msgspec.json.encode(data)) > conf.MAX_EVENT_SIZE:
        largest = max(sizes, key=sizes.__getitem__)
        del data[largest], sizes[largest]
        left_out.append(largest)
        data["truncated"] = left_out
    return data


def record(model: type[LiveModel], before: PublicRows, after: PublicRows, using: str) -> None:
    """Append an event for each row that differs, within the transaction that changed it."""
    changed = [pk for pk, state in after.items() if before.get(pk) != state]
    tell(model, {pk: CHANGED if pk in before else CREATED for pk in changed}, after, using)


def tell(model: type[LiveModel], types: dict[Any, str], after: PublicRows, using: str) -> None:
    """Append an event of its type for each row, with its state ``after``; {} of one that is deleted.

    Of rows in another database than the log's, what they are once the change has committed: the callbacks of
    two transactions may run in either order, and the last word must be how things are.
    """
    if not types:
        return
    if using == log.database():
        log.append(events_of(model, types, after), using=using)
        return

    def later() -> Iterator[Event]:
        # Locked until it is told, or another's newer state might be told before.
        now = states(model, types, using, lock=True)
        return events_of(model, {pk: type if pk in now else DELETED for pk, type in types.items()}, now)

    append_after(using, later)


def events_of(model: type[LiveModel], types: dict[Any, str], after: PublicRows) -> Iterator[Event]:
    """Make the events. That a row's key cannot be a topic's is logged: its change must not fail."""
    for pk, type in types.items():
        try:
            yield event_of(f"{model.live_topic}.{pk}", type, after.get(pk, {}))
        except InvalidValue as error:
            logger.warning("A change of %s is not told: %s", model._meta.label, error)


def begin_write(using: str) -> None:
    """Take SQLite's write lock, where the tables are those of the log."""
    if using == log.database():
        log.begin_write(using)
