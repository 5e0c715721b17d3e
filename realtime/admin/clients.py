"""Connections in the admin: to look at, and to end one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html

from realtime import log
from realtime.admin import display
from realtime.admin.listing import BoundedAdmin, BoundedChangeList, ReadOnly
from realtime.admin.processes import named
from realtime.closing import disconnect
from realtime.models import Connection, Node
from realtime.permissions import may_disconnect, may_view_all

#: Rows that the dashboard shows, and what comes first, here and there: those that cannot keep up.
CLIENTS, WORST_FIRST = 50, ("-behind", "-overflows", "-since", "-id")


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


def clients(may_disconnect: bool) -> list[dict[str, Any]]:
    """Return the connections that the dashboard shows; each has a link that ends it if its viewer may."""
    rows = Connection.objects.using(log.database()).order_by(*WORST_FIRST)
    found = list(rows[:CLIENTS])
    who = names(row.user_id for row in found)
    return [
        {
            "row": row,
            "who": who.get(row.user_id, f"user {row.user_id}"),
            "since": display.moment(row.since),
            "trip": trip(row),
            "pace": pace(row),
            "end": reverse("admin:realtime_connection_disconnect", args=[row.pk]) if may_disconnect else "",
        }
        for row in found
    ]


class Told(NamedTuple):
    """What the row of a connection only points to."""

    who: str
    process: str


def tell(connections: Iterable[Connection]) -> None:
    """Note with each row whose it is and which process serves it: two queries for all of them."""
    rows = list(connections)
    who = names(row.user_id for row in rows)
    processes = Node.objects.using(log.database()).in_bulk({row.node_id for row in rows})
    for row in rows:
        node = processes.get(row.node_id)
        told = Told(who.get(row.user_id, f"user {row.user_id}"), named(node) if node else "–")
        row.told = told  # type: ignore[attr-defined]


class ConnectionList(BoundedChangeList):
    """A page of connections, each with the names of what it points to."""

    def get_results(self, request: HttpRequest) -> None:
        """Read one page and its names."""
        super().get_results(request)
        tell(self.result_list)


@admin.register(Connection)
class ConnectionAdmin(ReadOnly, BoundedAdmin):
    """The open connections, those that cannot keep up first."""

    ordering = WORST_FIRST
    sortable_by = ("pace",)
    list_display = ("who", "transport", "address", "opened", "trip", "frames", "pace", "process")
    search_fields = ("user_id",)
    search_help_text = "A whole username, or the id of a connection or of a process."
    fields = (
        *("who", "transport", "format", "address", "opened", "seen", "watched", "followed", "reached"),
        *("frames", "pace", "trip", "process", "id", "end"),
    )
    readonly_fields = fields

    class Media:
        """How it is shown whether a client keeps up."""

        css = {"all": ("realtime/admin/live.css",)}

    opened = display.time_column("since", "since")
    seen = display.time_column("seen_at", "as of")

    @admin.display(description="user")
    def who(self, connection: Connection) -> str:
        """Return whose it is."""
        return connection.told.who  # type: ignore[attr-defined,no-any-return]

    @admin.display(description="process")
    def process(self, connection: Connection) -> str:
        """Return the server process that serves it."""
        return connection.told.process  # type: ignore[attr-defined,no-any-return]

    @admin.display(description="frames sent")
    def frames(self, connection: Connection) -> str:
        """Return how many frames it was sent."""
        return f"{connection.sent:,}"

    @admin.display(description="single tasks")
    def watched(self, connection: Connection) -> str:
        """Return how many tasks it watches one by one."""
        return f"{connection.tasks:,}"

    @admin.display(description="topics")
    def followed(self, connection: Connection) -> str:
        """Return what it has subscribed to."""
        return ", ".join(connection.topics) or "–"

    @admin.display(description="position in the log")
    def reached(self, connection: Connection) -> str:
        """Return up to where it has been served, as the log of events writes it."""
        return str(connection.position)

    @admin.display(description="round trip")
    def trip(self, connection: Connection) -> str:
        """Return how long a ping takes."""
        return trip(connection)

    @admin.display(description="keeps up", ordering="behind")
    def pace(self, connection: Connection) -> str:
        """Return whether it keeps up: a sign and words."""
        return format_html('<span class="rt-pace" data-pace="{}">{}</span>', *pace(connection))

    @admin.display(description="disconnect")
    def end(self, connection: Connection) -> str:
        """Return the way to the page that ends it."""
        url = reverse("admin:realtime_connection_disconnect", args=[connection.pk])
        return format_html('<a href="{}">Disconnect this client…</a>', url)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        """Return the list whose rows have names."""
        return ConnectionList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return one connection with its names."""
        found = super().get_object(request, object_id, from_field)
        tell([found] if found else [])
        return found

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Call it by the name of its user."""
        if obj := kwargs.get("obj"):
            context["subtitle"] = f"{self.who(obj)}, {obj.transport}"
        return super().render_change_form(request, context, *args, **kwargs)

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
        tell([connection])
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
        return reverse(f"admin:realtime_{'live' if may_view_all(request.user) else 'connection'}_changelist")
