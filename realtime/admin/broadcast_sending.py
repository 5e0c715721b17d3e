"""The way of a broadcast from the form to everybody: typed, looked at once more, sent once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.admin import helpers
from django.contrib.admin.widgets import AdminSplitDateTime
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from realtime import broadcasts, log
from realtime.admin import broadcast_history as history
from realtime.admin.broadcast_form import AudienceForm, BroadcastForm, MomentField
from realtime.admin.listing import BoundedAdmin
from realtime.admin.reach import Estimate, estimate
from realtime.admin.search import starting
from realtime.events import EVERYONE, rfc3339
from realtime.exceptions import InvalidValue, KeyConflict
from realtime.models import Broadcast
from realtime.permissions import may_broadcast

#: Names that the search for users answers.
FOUND = 8
#: Milliseconds between two askings of whom it would reach.
POLL_MS = 5_000


class SendingAdmin(BoundedAdmin):
    """Adding a broadcast sends it. Every step is a page of the server; scripts only make them livelier."""

    form = BroadcastForm
    formfield_overrides: ClassVar[Any] = {
        models.DateTimeField: {"form_class": MomentField, "widget": AdminSplitDateTime}
    }
    add_form_template = "admin/realtime/broadcast/add_form.html"
    fieldsets = (
        (None, {"fields": ("type", "level", "title", "message", "dismissible")}),
        ("Audience", {"fields": ("audience_kind", "group", "users")}),
        ("Window", {"fields": ("starts_at", "ends_at")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let those send who may broadcast."""
        return may_broadcast(request.user)

    def get_urls(self) -> list[Any]:
        """Add what the form asks while it is filled in."""
        wrap = self.admin_site.admin_view
        return [
            path("reach/", wrap(self.reach_view), name="realtime_broadcast_reach"),
            path("people/", wrap(self.people_view), name="realtime_broadcast_people"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Answer the form, the page that asks once more, or the page of what was sent.

        In no transaction around it: nobody hears of a broadcast before the commit.
        """
        if not self.has_add_permission(request):
            raise PermissionDenied
        make: Any = self.get_form(request)
        if request.method != "POST":
            return self._form_page(request, make(initial=self.get_changeform_initial_data(request)))
        form: BroadcastForm = make(request.POST)
        if not form.is_valid() or "_back" in request.POST:
            return self._form_page(request, form)
        if form.must_be_confirmed and "_confirmed" not in request.POST:
            return self._confirmation(request, form)
        return self._send(request, form)

    def reach_view(self, request: HttpRequest) -> JsonResponse:
        """Answer whom the chosen audience would reach now; a POST, since names belong in no address."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = AudienceForm(request.POST)
        if not form.is_valid():
            problem = " ".join(str(error) for errors in form.errors.values() for error in errors)
            return JsonResponse({"problem": problem, "at": rfc3339(timezone.now())})
        reach = estimate(form.cleaned_data["audience"])
        told = {**reach._asdict(), "at": rfc3339(reach.at)}
        return JsonResponse({**told, "complete": reach.complete, "text": reach.text, "note": reach.note})

    def people_view(self, request: HttpRequest) -> JsonResponse:
        """Answer the first usernames that begin with ``q``, as typed, in small letters or with a capital."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        term, model = request.GET.get("q", "").strip()[:150], get_user_model()
        users, column = model._default_manager.all(), model.USERNAME_FIELD
        found: dict[str, None] = {}
        for variant in dict.fromkeys((term, term.lower(), term.capitalize())) if term else ():
            rows = starting(users, column, variant).values_list(column, flat=True)
            found |= dict.fromkeys(rows[: FOUND + 1])
        return JsonResponse({"names": list(found)[:FOUND], "more": len(found) > FOUND})

    # -- the pages ----------------------------------------------------------------------------

    def _form_page(self, request: HttpRequest, form: BroadcastForm) -> HttpResponse:
        fieldsets: Any = list(self.get_fieldsets(request))
        fields = helpers.AdminForm(form, fieldsets, {}, (), model_admin=self)
        audience: dict[str, Any] | None = {"kind": EVERYONE}
        if form.is_bound:
            audience = form.cleaned_data.get("audience")
        context = {
            **self._context(request, estimate(audience) if audience else None),
            "title": "Send a broadcast",
            "adminform": fields,
            "media": self.media + fields.media,
            "inline_admin_formsets": [],
            "errors": helpers.AdminErrorList(form, []),
            "original": None,
            "is_popup": False,
        }
        return self.render_change_form(request, context, add=True)

    def _confirmation(self, request: HttpRequest, form: BroadcastForm) -> HttpResponse:
        values = form.cleaned_data
        audience, to_whom = values["audience"], history.to_whom(values["audience"])
        begin, end = broadcasts.window(values["starts_at"], values["ends_at"])
        context = {
            **self._context(request, estimate(audience)),
            "title": "Send this broadcast?",
            "form": form,
            "values": values,
            "level_badge": history.level_badge(values["level"]),
            "to_whom": to_whom,
            "send_to": to_whom[0].lower() + to_whom[1:],
            "names": history.names(audience),
            "later": bool(values["starts_at"] and begin > timezone.now()),
            "begin": _when(begin),
            "end": _when(end),
            "ends_at": values["ends_at"],
        }
        return TemplateResponse(request, "admin/realtime/broadcast/confirm.html", context)

    def _context(self, request: HttpRequest, reach: Estimate | None) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "reach": reach,
            "reach_at": rfc3339(reach.at if reach else timezone.now()),
            "poll_ms": POLL_MS,
            "sender": request.user.get_username(),
            "zone": timezone.get_current_timezone_name(),
        }

    def _send(self, request: HttpRequest, form: BroadcastForm) -> HttpResponse:
        """Send it, or find that this form has sent it before; both lead to its page."""
        values = form.cleaned_data
        columns = ("title", "type", "level", "dismissible", "starts_at", "ends_at")
        earlier = self._earlier(request, values["key"])
        try:
            sent = broadcasts.send(
                values["message"],
                **{name: values[name] for name in columns},
                audience=values["asked_audience"],
                sender=request.user,
                idempotency_key=values["key"],
            )
        except KeyConflict:
            form.add_error(
                None, "This form has sent another broadcast before. Send again if this is a new one."
            )
            form.renew_key()
            return self._form_page(request, form)
        except InvalidValue as error:
            # True when the form was checked, and no longer: an end that has just passed.
            if error.field in ("starts_at", "ends_at"):
                form.refuse_window(error)
            else:
                form.refuse(error, error.field)
            return self._form_page(request, form)
        if earlier:
            self.message_user(request, "It had been sent before; nothing was sent twice.", "WARNING")
        else:
            self.log_addition(request, sent, "Sent." if sent.published_at else "Scheduled.")
            done = "The broadcast is sent." if sent.published_at else "The broadcast is scheduled."
            self.message_user(request, done, "SUCCESS")
        return HttpResponseRedirect(reverse("admin:realtime_broadcast_change", args=[sent.pk]))

    def _earlier(self, request: HttpRequest, key: str) -> bool:
        rows = Broadcast.objects.using(log.database())
        return bool(key) and rows.filter(sender_key=str(request.user.pk), idempotency_key=key).exists()


def _when(moment: datetime) -> str:
    """Return a time with its zone; in an hour that a night has twice, the abbreviation tells which."""
    local, zone = timezone.localtime(moment), timezone.get_current_timezone_name()
    short = local.tzname()
    return f"{local:%Y-%m-%d %H:%M:%S}{f' {short}' if short != zone else ''}, {zone}"
