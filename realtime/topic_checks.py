"""System checks of a project's own topics and live models: what could never work is said by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from realtime import registry
from realtime.live import LiveModel, LiveQuerySet
from realtime.registry import Topic
from realtime.topics import RESERVED, is_name

#: Characters of a topic's key, at most.
LONGEST_KEY = 64


@register("realtime")
def check_topics(**kwargs: Any) -> list[CheckMessage]:
    """E020: a name that no topic can have. E021: two with one name. W022: nobody may see it."""
    problems: list[CheckMessage] = []
    seen: dict[str, type[Topic]] = {}
    for kind, _ in registry.registered:
        if not is_name(kind.name):
            problems.append(
                Error(
                    f"The topic {kind.name!r} cannot be called so.",
                    hint="A small letter, then at most 31 small letters, digits or _; "
                    f"not {', '.join(sorted(RESERVED))}.",
                    obj=kind,
                    id="realtime.E020",
                )
            )
        elif (first := seen.setdefault(kind.name, kind)) is not kind:
            taken = f"{first.__module__}.{first.__qualname__}"
            problems.append(
                Error(f"There are two topics {kind.name!r}.", hint=taken, obj=kind, id="realtime.E021")
            )
        if kind.allows is Topic.allows:
            problems.append(
                Warning(
                    f"Nobody may see the topic {kind.name!r}.",
                    hint="Define allows(self, user, key).",
                    obj=kind,
                    id="realtime.W022",
                )
            )
    return problems


@register("realtime")
def check_live_models(**kwargs: Any) -> list[CheckMessage]:
    """E023: no such topic. E024: no such column. W025: a manager that publishes nothing.

    W026: a primary key that may hold what no topic can. W027: a field that JSON cannot hold.
    """
    live = [model for model in apps.get_models() if issubclass(model, LiveModel)]
    return [problem for model in live for problem in _problems(model)]


def _problems(model: type[LiveModel]) -> Iterator[CheckMessage]:
    if not is_name(model.live_topic):
        yield Error(f"live_topic cannot be {model.live_topic!r}.", obj=model, id="realtime.E023")
    elif registry.find(f"{model.live_topic}.1") is None:
        yield Error(
            f"live_topic is {model.live_topic!r}, and no topic with keys is registered by that name.",
            hint="Register a ModelTopic for it, in the module realtime_topics of an installed app.",
            obj=model,
            id="realtime.E023",
        )
    if not model.live_fields:
        yield Error("live_fields names no field.", obj=model, id="realtime.E024")
    for name in model.live_fields:
        if not _is_column(model, name):
            yield Error(f"live_fields has {name!r}, which is no column.", obj=model, id="realtime.E024")
        elif not _is_json(model._meta.get_field(name)):
            yield Warning(
                f"live_fields has {name!r}, which cannot be sent: it will be left out of every event.",
                hint="Tell of it by a column that JSON can hold, or take it out of live_fields.",
                obj=model,
                id="realtime.W027",
            )
    if not _makes_keys(model._meta.pk):
        yield Warning(
            f"A primary key such as {model._meta.pk.name!r} may hold what no topic can.",
            hint=f"At most {LONGEST_KEY} letters, digits, _ or -: a number, a UUID, a SlugField. "
            "Other rows tell nothing.",
            obj=model,
            id="realtime.W026",
        )
    if not isinstance(model._default_manager.get_queryset(), LiveQuerySet):
        yield Warning(
            f"{model._default_manager.name}.update(), bulk_create() and delete() publish nothing.",
            hint="Derive its queryset from realtime.live.LiveQuerySet.",
            obj=model,
            id="realtime.W025",
        )


def _is_column(model: type[LiveModel], name: str) -> bool:
    try:
        return bool(model._meta.get_field(name).concrete)
    except FieldDoesNotExist:
        return False


def _is_json(field: Any) -> bool:
    """Tell whether JSON can hold what such a column holds; not so bytes, and the ranges of PostgreSQL."""
    kind = _target(field)
    return not (isinstance(kind, models.BinaryField) or kind.get_internal_type().endswith("RangeField"))


def _makes_keys(field: Any) -> bool:
    """Tell whether every value of a primary key can stand behind the dot of a topic."""
    kind = _target(field)
    if isinstance(kind, models.SlugField):
        return bool(kind.max_length and kind.max_length <= LONGEST_KEY) and not vars(kind)["allow_unicode"]
    return isinstance(kind, models.IntegerField | models.UUIDField)


def _target(field: Any) -> Any:
    """Return the column that a foreign key refers to; any other column itself."""
    while field.remote_field is not None:
        field = field.target_field
    return field
