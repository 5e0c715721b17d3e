"""The event log in the admin: to read, never to change."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from realtime.admin.listing import BoundedAdmin, ChoiceFilter, along
from realtime.models import Event

#: A position is below 2**63; an id without its dashes may be digits only, but is longer.
_DIGITS = 18


@admin.register(Event)
class EventAdmin(BoundedAdmin):
    """Newest first; found by its kind, its task or its position. Each is the key of an index."""

    ordering = ("-position",)
    sortable_by = ("position",)
    list_display = ("position", "kind", "task_id", "version", "owner", "previous_owner", "created_at")
    list_defer = ("data",)
    list_filter = (("kind", ChoiceFilter),)
    list_choice = "-kind"
    list_lookups = frozenset({"kind__exact"})
    search_fields = ("task_id",)
    search_help_text = "The whole id of a task, or a position."
    actions = None
    fields = ("position", "kind", "task_id", "version", "owner", "previous_owner", "created_at", "content")
    readonly_fields = fields

    @admin.display(description="Data")
    def content(self, event: Event) -> str:
        """Return what the event tells, as indented JSON."""
        return format_html("<pre>{}</pre>", json.dumps(event.data, indent=2, ensure_ascii=False))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a task's events by its id, in any notation of it; digits are a position."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isascii() and term.isdigit() and len(term) <= _DIGITS:
            return queryset.filter(position=int(term)), False
        try:
            term = str(uuid.UUID(term))
        except ValueError:
            return queryset.none(), False
        upwards = not str(queryset.query.order_by[-1]).startswith("-")
        events = along(queryset, "-task_id", term, "-position")
        return events.reverse() if upwards else events, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody punches holes into it; pruning is a command."""
        return False
