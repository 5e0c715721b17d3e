"""The event log in the admin: to read, never to change."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest
from django.utils.html import format_html

from realtime.admin.display import time_column
from realtime.admin.listing import BoundedAdmin, ChoiceFilter, ReadOnly, along
from realtime.models import Event
from realtime.topics import is_own

#: A position is below 2**63; an id without its dashes may be digits only, but is longer.
_DIGITS = 18


@admin.register(Event)
class EventAdmin(ReadOnly, BoundedAdmin):
    """Newest first; found by its kind, its task, its topic or its position. Each is the key of an index."""

    ordering = ("-position",)
    sortable_by = ("position",)
    list_display = ("position", "kind", "about", "number", "owners", "created")
    list_defer = ("data",)
    list_filter = (("kind", ChoiceFilter),)
    list_choice = "-kind"
    list_lookups = frozenset({"kind__exact"})
    search_fields = ("task_id",)
    search_help_text = "The whole id of a task, a topic such as order.42, or a position."
    fields = ("position", "kind", "about", "number", "owners", "created", "content")
    readonly_fields = fields

    class Media:
        """The list in the room that it needs."""

        css = {"all": ("realtime/admin/live.css",)}

    created = time_column("created_at", "created at")

    @admin.display(description="version")
    def number(self, event: Event) -> str:
        """Return the version that the event gave its task; only those have one."""
        return str(event.version or "–")

    @admin.display(description="owner's id")
    def owners(self, event: Event) -> str:
        """Return whose it is, and whose it was if that is what has changed."""
        before = f", before {event.previous_owner}" if event.previous_owner else ""
        return f"{event.owner or '–'}{before}"

    @admin.display(description="Task or topic")
    def about(self, event: Event) -> str:
        """Return what the event is of, and of a topic what happened."""
        if event.topic is None:
            return event.task_id or "–"
        return f"{event.topic}: {event.happened}"  # type: ignore[attr-defined]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the events, each with the word for what happened; the rest of its data is not read."""
        happened = KeyTextTransform("event", "data")
        events: QuerySet[Any] = super().get_queryset(request).annotate(happened=happened)
        return events

    @admin.display(description="Data")
    def content(self, event: Event) -> str:
        """Return what the event tells, as indented JSON."""
        if event.data is None:
            return "It cannot be read."
        return format_html("<pre>{}</pre>", json.dumps(event.data, indent=2, ensure_ascii=False))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a task's events by its id, in any notation of it, and a topic's; digits are a position."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isascii() and term.isdigit() and len(term) <= _DIGITS:
            return queryset.filter(position=int(term)), False
        upwards = not str(queryset.query.order_by[-1]).startswith("-")
        try:
            events = along(queryset, "-task_id", str(uuid.UUID(term)), "-position")
        except ValueError:
            if not is_own(term):
                return queryset.none(), False
            # Said so, as the index holds topics only.
            events = along(queryset.filter(topic__isnull=False), "-topic", term, "-position")
        return events.reverse() if upwards else events, False
