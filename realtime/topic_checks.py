"""System checks of a project's own topics and live models: what could never work is said by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist

from realtime import registry
from realtime.live import LiveModel, LiveQuerySet
from realtime.registry import Topic
from realtime.topics import RESERVED, is_name


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
    """E023: no such topic. E024: no such column. W025: a manager that publishes nothing."""
    models = [model for model in apps.get_models() if issubclass(model, LiveModel)]
    return [problem for model in models for problem in _problems(model)]


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
