"""Broadcasts in the admin: the form with which staff send one, the history, and taking one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from realtime import broadcasts
from realtime.admin.listing import BoundedAdmin
from realtime.events import AUDIENCES, EVERYONE, GROUP, USERS
from realtime.exceptions import InvalidValue
from realtime.models import Broadcast
from realtime.models.notices import USER_LIMIT, clean_audience, plain_text
from realtime.permissions import may_broadcast

if TYPE_CHECKING:
    # Generic for the type checker only.
    ModelForm = forms.ModelForm[Broadcast]
else:
    ModelForm = forms.ModelForm


class BroadcastForm(ModelForm):
    """What is sent, to whom, and when; empty times mean now, and an hour later."""

    audience_kind = forms.ChoiceField(
        label="To", choices=[(kind, kind.capitalize()) for kind in AUDIENCES], initial=EVERYONE
    )
    group = forms.ModelChoiceField(Group.objects.order_by("name"), required=False)
    users = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=f"Usernames, with spaces or commas between them, at most {USER_LIMIT}.",
    )

    class Meta:
        """The columns that are asked for."""

        model = Broadcast
        fields = ("type", "level", "title", "message", "dismissible", "starts_at", "ends_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("starts_at", "ends_at"):
            if name in self.fields:
                self.fields[name].required = False
                self.fields[name].initial = None

    def clean(self) -> dict[str, Any]:
        """Check the texts and the audience as every other door does; errors stand at their fields."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        for name, longest in (("title", 200), ("message", 4000)):
            if name in values:
                self._take(
                    name, lambda n=name, m=longest: plain_text(n, values[n], m, required=n == "message")
                )
        kind = values.get("audience_kind")
        audience: dict[str, Any] = {"kind": kind}
        if kind == GROUP:
            audience["group"] = getattr(values.get("group"), "pk", None)
        elif kind == USERS:
            audience["users"] = self._user_ids(values.get("users", ""))
        if kind and not self.errors:
            where = {GROUP: "group", USERS: "users"}.get(kind, "audience_kind")
            self._take("audience", lambda: clean_audience(audience) and audience, where)
        if "starts_at" in values and "ends_at" in values:
            try:
                broadcasts.window(values["starts_at"], values["ends_at"])
            except InvalidValue as error:
                self.add_error(error.field, error.message)
        return values

    def _take(self, name: str, clean: Any, where: str | None = None) -> None:
        try:
            self.cleaned_data[name] = clean()
        except InvalidValue as error:
            self.add_error(where or name, error.message)

    def _user_ids(self, text: str) -> list[Any]:
        names = set(text.replace(",", " ").split())
        model = get_user_model()
        found = dict(
            model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names}).values_list(
                model.USERNAME_FIELD, "pk"
            )
        )
        if missing := sorted(names - found.keys()):
            self.add_error("users", f"Nobody is called {', '.join(missing[:5])}.")
        return sorted(found.values())


@admin.register(Broadcast)
class BroadcastAdmin(BoundedAdmin):
    """Adding one sends it; what was sent can be taken back, not changed and not deleted: it is the audit."""

    form = BroadcastForm
    ordering = ("-created_at", "-id")
    sortable_by = ("created_at",)
    list_display = (
        "__str__",
        "level",
        "audience_text",
        "sender_name",
        "created_at",
        "state",
        "recipient_count",
    )
    list_defer = ("data",)
    list_filter = ("created_at",)
    list_lookups = frozenset({"created_at__gte", "created_at__lt"})
    actions = ("retract_selected",)
    fieldsets = (
        (None, {"fields": ("type", "level", "title", "message", "dismissible")}),
        ("Audience", {"fields": ("audience_kind", "group", "users")}),
        ("Window", {"fields": ("starts_at", "ends_at")}),
    )
    sent_fieldsets = (
        (None, {"fields": ("type", "level", "title", "message", "data", "dismissible", "audience_text")}),
        ("Window", {"fields": ("state", "starts_at", "ends_at", "published_at")}),
        ("Audit", {"fields": ("sender_name", "created_at", "recipient_count", "complete")}),
        ("Retraction", {"fields": ("retracted_at", "retracted_by")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let those send who may broadcast."""
        return may_broadcast(request.user)

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

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Send it; the row that the form made is taken over from what was sent."""
        values = form.cleaned_data
        sent = broadcasts.send(
            values["message"],
            title=values["title"],
            type=values["type"],
            level=values["level"],
            audience=values["audience"],
            dismissible=values["dismissible"],
            starts_at=values["starts_at"],
            ends_at=values["ends_at"],
            sender=request.user,
        )
        obj.__dict__.update(sent.__dict__)

    @admin.display(description="to")
    def audience_text(self, broadcast: Broadcast) -> str:
        """Return in words to whom it goes."""
        audience = broadcast.audience
        match audience.get("kind"):
            case "group":
                return f"group {audience['name']}"
            case "users":
                return f"{len(audience['users'])} users"
        return str(audience.get("kind"))

    @admin.display(description="state")
    def state(self, broadcast: Broadcast) -> str:
        """Return where it stands in its life."""
        if broadcast.retracted_at is not None:
            return "retracted"
        if broadcast.ends_at <= timezone.now():
            return "over" if broadcast.published_at else "never sent"
        return "sent" if broadcast.published_at else "scheduled"

    @admin.action(description="Retract selected broadcasts", permissions=["add"])
    def retract_selected(self, request: HttpRequest, queryset: QuerySet[Broadcast]) -> None:
        """Take them back, live."""
        done = [broadcasts.retract(broadcast, by=request.user) for broadcast in queryset]
        if taken := sum(done):
            self.message_user(request, f"{taken} retracted.", messages.SUCCESS)
        if skipped := len(done) - sum(done):
            self.message_user(request, f"{skipped} skipped: retracted before.", messages.WARNING)
