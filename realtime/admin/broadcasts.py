"""Broadcasts in the admin: the history, what became of each, and taking one back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from realtime import broadcasts
from realtime.admin import bar, display
from realtime.admin import broadcast_history as history
from realtime.admin.broadcast_sending import SendingAdmin
from realtime.models import Broadcast
from realtime.permissions import may_broadcast

#: Milliseconds between two readings of a broadcast's page: while its count moves, and after that.
MOVING_MS, SETTLED_MS = 1_000, 5_000


@admin.register(Broadcast)
class BroadcastAdmin(SendingAdmin):
    """What was sent can be taken back, not changed and not deleted: it is the audit."""

    ordering = ("-created_at", "-id")
    sortable_by = ("created",)
    list_display = ("text", "level_shown", "to", "sent_by", "created", "state_shown", "reached")
    list_defer = ("data",)
    list_filter = (history.StateFilter, "created_at")
    list_lookups = frozenset({"created_at__gte", "created_at__lt", "state"})
    actions = ("retract_selected",)
    change_form_template = "admin/realtime/broadcast/change_form.html"
    sent_fieldsets = (
        (None, {"fields": ("type", "title", "message", "data", "dismissible")}),
        ("Audit", {"fields": ("sent_by", "created", "to", "names", "id")}),
        ("Window", {"fields": ("starts", "ends", "published")}),
        ("Retraction", {"fields": ("retracted", "retracted_by")}),
    )

    created = display.time_column("created_at", "created at")
    starts = display.time_column("starts_at", "start")
    ends = display.time_column("ends_at", "end")
    published = display.time_column("published_at", "sent at")
    retracted = display.time_column("retracted_at", "retracted at")

    class Media:
        """Icons and words of levels and states."""

        css = {"all": ("realtime/admin/broadcast.css",)}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those see the history who may send, or only look."""
        return may_broadcast(request.user) or super().has_view_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody change what was said."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody delete the record of it."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the form's, or those of a broadcast that was sent."""
        return self.fieldsets if obj is None else self.sent_fieldsets

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return the order of the index that the state in use has, or that of the whole list."""
        return history.ORDERS.get(request.GET.get("state", ""), self.ordering)

    # -- what is shown ------------------------------------------------------------------------

    @admin.display(description="broadcast")
    def text(self, broadcast: Broadcast) -> str:
        """Return its title, or how it begins."""
        return str(broadcast)

    @admin.display(description="level")
    def level_shown(self, broadcast: Broadcast) -> str:
        """Return the level as an icon and a word."""
        return history.level_badge(broadcast.level)

    @admin.display(description="to")
    def to(self, broadcast: Broadcast) -> str:
        """Return in words to whom it goes."""
        return history.to_whom(broadcast.audience)

    @admin.display(description="users")
    def names(self, broadcast: Broadcast) -> str:
        """Return whom it names."""
        return history.names(broadcast.audience) or "–"

    @admin.display(description="from")
    def sent_by(self, broadcast: Broadcast) -> str:
        """Return who has sent it; code of the site has no name."""
        return broadcast.sender_name or "–"

    @admin.display(description="state")
    def state_shown(self, broadcast: Broadcast) -> str:
        """Return where it stands in its life, and who took it back."""
        return history.state_badge(broadcast)

    @admin.display(description="reached")
    def reached(self, broadcast: Broadcast) -> str:
        """Return how many connections it reached, as far as is known."""
        return history.reached(broadcast)

    # -- pages --------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """Add what the page of a broadcast reads again while its count moves."""
        view = self.admin_site.admin_view(self.progress_view)
        return [
            path("<uuid:broadcast_id>/progress/", view, name="realtime_broadcast_progress"),
            *super().get_urls(),
        ]

    def progress_view(self, request: HttpRequest, broadcast_id: Any) -> HttpResponse:
        """Answer what has become of it, as of now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        broadcast = broadcasts.find(str(broadcast_id))
        if broadcast is None:
            raise Http404
        context = self._progress(request, broadcast)
        return TemplateResponse(request, "admin/realtime/broadcast/progress.html", context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what has become of a broadcast that was sent."""
        if obj := kwargs.get("obj"):
            url = reverse("admin:realtime_broadcast_progress", args=[obj.pk])
            context |= {
                **bar.told(),
                **self._progress(request, obj),
                "live": True,
                "progress_url": url,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _progress(self, request: HttpRequest, broadcast: Broadcast) -> dict[str, Any]:
        found = history.progress(broadcast)
        there = found["state"] in history.STANDING
        poll = SETTLED_MS if found["settled"] else MOVING_MS
        return found | {"poll_ms": poll, "may_retract": there and self.has_add_permission(request)}

    # -- taking back --------------------------------------------------------------------------

    @admin.action(description="Retract selected broadcasts", permissions=["add"])
    def retract_selected(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> HttpResponse | None:
        """Ask first; then take them back, live, and say what came of it."""
        back = request.POST.get("back", "")
        if not request.POST.get("post"):
            context = {
                **self.admin_site.each_context(request),
                **history.forecast(queryset),
                "title": "Retract?",
                "opts": self.opts,
                "back": back,
                "media": self.media,
            }
            return TemplateResponse(request, "admin/realtime/broadcast/retract.html", context)
        came: Counter[bool] = Counter()
        for broadcast in queryset:
            there = history.state(broadcast) in history.STANDING
            came[done := there and broadcasts.retract(broadcast, by=request.user)] += 1
            if done:
                self.log_change(request, broadcast, "Retracted.")
        if came[True]:
            self.message_user(request, f"{came[True]:,} retracted.", messages.SUCCESS)
        if came[False]:
            self.message_user(
                request, f"{came[False]:,} skipped: retracted before, or over.", messages.WARNING
            )
        if not came:
            self.message_user(request, "Nothing was done: it is not there any more.", messages.WARNING)
        found = broadcasts.find(back) if back else None
        if found is None:
            return None
        return HttpResponseRedirect(reverse("admin:realtime_broadcast_change", args=[found.pk]))
