"""Server processes in the admin: which live, and how many clients each serves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models.functions import Now

from realtime import log
from realtime.admin import display
from realtime.admin.listing import REACH, BoundedAdmin, ReadOnly, along
from realtime.broadcasts import LEASE
from realtime.models import Connection, Node

#: Rows that the dashboard shows.
NODES = 50


def named(node: Node) -> str:
    """Return what people call a server process."""
    return f"{node.host}, process {node.pid}"


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
            "name": named(row),
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
    sortable_by = ("seen",)
    list_display = ("process", "since", "seen")
    fields = readonly_fields = ("id", "host", "process_id", "since", "seen")

    since = display.time_column("started_at", "since")
    seen = display.time_column("seen_at", "last sign of life")

    @admin.display(description="process")
    def process(self, node: Node) -> str:
        """Return its name, as the dashboard has it."""
        return named(node)

    @admin.display(description="process id")
    def process_id(self, node: Node) -> str:
        """Return the number that its host knows it by, as it is typed there."""
        return str(node.pid)
