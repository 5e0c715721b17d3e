"""The live dashboard: what runs, what ended, what needs somebody, who is connected, which processes live."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse

from realtime.admin import bar, charts, clients, display, figures, processes
from realtime.admin.listing import REACH, ReadOnly
from realtime.events import RUNNING, rfc3339
from realtime.models import Live
from realtime.permissions import VIEW_CONNECTIONS, VIEW_NODES, may, may_disconnect, may_view_all
from realtime.templatetags.realtime import STALE_AFTER

#: Milliseconds between two readings of what the live connection does not tell.
POLL_MS = 5_000


@admin.register(Live)
class LiveAdmin(ReadOnly):
    """One page, for those who may view all tasks; connections and processes need their own permissions."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the link to those who may open it."""
        return may_view_all(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those see it who see all tasks."""
        return may_view_all(request.user)

    def get_urls(self) -> list[Any]:
        """Return the page, and its panels alone for the page to read again."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.page), name="realtime_live_changelist"),
            path("panels/", wrap(self.panels), name="realtime_live_panels"),
        ]

    def page(self, request: HttpRequest) -> HttpResponse:
        """Answer the whole page, which tells the same without JavaScript, as of now."""
        context = {
            **self.admin_site.each_context(request),
            **self._figures(request),
            "title": "Live dashboard",
            "opts": self.opts,
            "poll_ms": POLL_MS,
            "stale_after": STALE_AFTER,
            "panels_url": reverse("admin:realtime_live_panels"),
        }
        return TemplateResponse(request, "admin/realtime/live/page.html", context)

    def panels(self, request: HttpRequest) -> HttpResponse:
        """Answer what the page is made of, read anew."""
        return TemplateResponse(request, "admin/realtime/live/panels.html", self._figures(request))

    def _figures(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        hour, counts, ended = figures.hour(), figures.counts(), figures.finished()
        found: dict[str, Any] = {
            **bar.told(),
            "icons": display.ICONS,
            "counts": [(count, display.badge(count.status)) for count in counts],
            "chart": charts.draw(hour),
            "running": [_cells(task) for task in figures.running()],
            "running_count": next(count for count in counts if count.status == RUNNING),
            "finished": [_cells(task) for task in ended[: figures.SHOWN]],
            "finished_count": len(ended),
            "attention": [{**_cells(task), "why": why} for task, why in figures.attention(hour)],
            "shown": figures.SHOWN,
            "reach": REACH,
            "may_disconnect": may_disconnect(request.user),
        }
        if may(request.user, VIEW_CONNECTIONS):
            found["clients"] = clients.clients(found["may_disconnect"])
        if may(request.user, VIEW_NODES):
            found["nodes"] = processes.nodes()
        return found


def _cells(task: Any) -> dict[str, Any]:
    return {
        "task": task,
        "url": reverse("admin:realtime_task_change", args=[task.pk]),
        "status": display.status(task),
        "progress": display.progress(task),
        "lasted": display.lasted(task),
        "created_at": rfc3339(task.created_at),
        "finished_at": rfc3339(task.finished_at) if task.finished_at else "",
        "started": display.moment(task.started_at),
        "finished": display.moment(task.finished_at),
    }
