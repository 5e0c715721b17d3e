"""Connections and server processes in the admin: to look at, and to end a connection."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from realtime import log
from realtime.admin import display
from realtime.admin.listing import REACH, BoundedAdmin, ReadOnly, along
from realtime.broadcasts import LEASE
from realtime.closing import disconnect
from realtime.models import Connection, Node
from realtime.permissions import may_disconnect

#: Rows of each that the dashboard shows: of the connections those that cannot keep up first.
CLIENTS, NODES = 50, 50


def names(user_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of users by id, as text; of those that are no more there is none."""
    model = get_user_model()
    keys = []
    for user_id in set(user_ids):
        try:
            keys.append(model._meta.pk.to_python(user_id))
        except ValidationError:
            continue
    return {str(pk): user.get_username() for pk, user in model._default_manager.in_bulk(keys).items()}


def pace(connection: Connection) -> tuple[str, str]:
    """Return whether a client keeps up: a word for the style, and words."""
    over = connection.overflows
    times = f"fell behind {over:,} time{'' if over == 1 else 's'}" if over else ""
    if connection.behind:
        return "behind", f"Behind, {times}" if times else "Behind"
    return ("slow", f"Keeps up, {times}") if times else ("well", "Keeps up")


def trip(connection: Connection) -> str:
    """Return the last and the mean round trip in milliseconds; unknown where nobody answers pings."""
    if connection.rtt_last_ms is None:
        return "–"
    mean = connection.rtt_mean_ms if connection.rtt_mean_ms is not None else connection.rtt_last_ms
    return f"{connection.rtt_last_ms:.0f} ms, mean {mean:.0f} ms"


def clients(mine: bool) -> list[dict[str, Any]]:
    """Return the connections that the dashboard shows; with ``mine``, those that may be ended have a link."""
    rows = Connection.objects.using(log.database()).order_by("-behind", "-overflows", "-since", "-id")
    found = list(rows[:CLIENTS])
    who = names(row.user_id for row in found)
    return [
        {
            "row": row,
            "who": who.get(row.user_id, f"user {row.user_id}"),
            "since": display.moment(row.since),
            "trip": trip(row),
            "pace": pace(row),
            "end": reverse("admin:realtime_connection_disconnect", args=[row.pk]) if mine else "",
        }
        for row in found
    ]


def nodes() -> list[dict[str, Any]]:
    """Return the server processes, the latest sign of life first, each with its health."""
    using = log.database()
    rows = Node.objects.using(using).order_by("-seen_at")
    # By the database's clock, which wrote the times.
    alive = set(
        rows.filter(seen_at__gt=Now() - timedelta(seconds=LEASE)).values_list("pk", flat=True)[:NODES]
    )
    there = Connection.objects.using(using)
    return [
        {
            "row": row,
            "alive": row.pk in alive,
            "since": display.moment(row.started_at),
            "seen": display.moment(row.seen_at),
            "clients": along(there, "node_id", row.pk).values("pk")[: REACH + 1].count(),
        }
        for row in rows[:NODES]
    ]


@admin.register(Node)
class NodeAdmin(ReadOnly, BoundedAdmin):
    """The processes whose lease holds; those of others are swept."""

    ordering = ("-seen_at",)
    sortable_by = ("seen_at",)
    list_display = ("host", "pid", "started_at", "seen_at")
    fields = readonly_fields = ("id", "host", "pid", "started_at", "seen_at")


@admin.register(Connection)
class ConnectionAdmin(ReadOnly, BoundedAdmin):
    """Those that cannot keep up first."""

    ordering = ("-behind", "-overflows", "-since", "-id")
    sortable_by = ("behind",)
    list_display = (
        *("who", "transport", "address", "since", "trip", "sent", "behind", "overflows", "node_id"),
    )
    search_fields = ("user_id",)
    search_help_text = "A whole username, or the id of a connection or of a process."
    fields = (
        *("who", "transport", "format", "address", "since", "seen_at", "tasks", "topics", "position"),
        *("sent", "pace", "trip", "node_id", "end"),
    )
    readonly_fields = fields

    @admin.display(description="user")
    def who(self, connection: Connection) -> str:
        """Return whose it is."""
        return names([connection.user_id]).get(connection.user_id, f"user {connection.user_id}")

    @admin.display(description="round trip")
    def trip(self, connection: Connection) -> str:
        """Return how long a ping takes."""
        return trip(connection)

    @admin.display(description="keeps up")
    def pace(self, connection: Connection) -> str:
        """Return in words whether it keeps up."""
        return pace(connection)[1]

    @admin.display(description="disconnect")
    def end(self, connection: Connection) -> str:
        """Return the way to the page that ends it."""
        url = reverse("admin:realtime_connection_disconnect", args=[connection.pk])
        return format_html('<a href="{}">Disconnect this client…</a>', url)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Offer the end to those who may."""
        return self.fields if may_disconnect(request.user) else [f for f in self.fields if f != "end"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by user, by its own id and by its process, each by an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        users = get_user_model()._default_manager
        owner = users.filter(**{get_user_model().USERNAME_FIELD: term}).values_list("pk", flat=True).first()
        if owner is not None:
            return queryset.filter(user_id=str(owner)), False
        try:
            return queryset.filter(pk=term) | queryset.filter(node_id=term), False
        except ValidationError:
            return queryset.none(), False

    def get_urls(self) -> list[Any]:
        """Add the page that ends a connection."""
        view = self.admin_site.admin_view(self.disconnect_view)
        name = "realtime_connection_disconnect"
        return [path("<uuid:connection_id>/disconnect/", view, name=name), *super().get_urls()]

    def disconnect_view(self, request: HttpRequest, connection_id: Any) -> HttpResponse:
        """Ask whether, and then end it; the admin's history has who did it."""
        if not (may_disconnect(request.user) and self.has_view_permission(request)):
            raise PermissionDenied
        back = HttpResponseRedirect(self._back(request))
        connection = Connection.objects.using(log.database()).filter(pk=connection_id).first()
        if connection is None:
            self.message_user(request, "Nothing was done: this connection has ended.", messages.WARNING)
            return back
        if request.method == "POST":
            disconnect(connection)
            self.log_change(request, connection, "Disconnected.")
            text = f"The {connection.transport} connection of {self.who(connection)} is being closed."
            self.message_user(request, text, messages.SUCCESS)
            return back
        context = {
            **self.admin_site.each_context(request),
            "title": "Disconnect a client",
            "opts": self.opts,
            "connection": connection,
            "who": self.who(connection),
            "pace": pace(connection)[1],
            "back": back.url,
        }
        return TemplateResponse(request, "admin/realtime/connection/disconnect.html", context)

    def _back(self, request: HttpRequest) -> str:
        watches = request.user.has_perm("realtime.view_task")
        return reverse(f"admin:realtime_{'live' if watches else 'connection'}_changelist")
