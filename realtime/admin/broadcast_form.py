"""The form with which staff send a broadcast: its fields, and what may stand in them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.widgets import AdminRadioSelect
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils import timezone

from realtime import broadcasts
from realtime.events import EVERYONE, GROUP, STAFF, USERS
from realtime.exceptions import InvalidValue
from realtime.models import Broadcast
from realtime.models.notices import USER_LIMIT, clean_audience, plain_text

if TYPE_CHECKING:
    # Generic for the type checker only.
    ModelForm = forms.ModelForm[Broadcast]
else:
    ModelForm = forms.ModelForm

CRITICAL = "critical"
KINDS = {EVERYONE: "Everyone", STAFF: "Staff", GROUP: "A group", USERS: "Single users"}
#: Said in the form only: of what was sent it would be untrue.
HELP = {
    "title": "Plain text. Markup is taken out when it is sent.",
    "message": "Plain text, with line breaks.",
    "dismissible": "Each reader may put it away for themselves.",
}

#: Characters of each text at most.
LONGEST = {"title": 200, "message": 4000}


class AudienceForm(forms.Form):
    """To whom it goes: ``audience`` of the cleaned data as it is stored, ``asked_audience`` as it is sent."""

    audience_kind = forms.ChoiceField(
        label="To", choices=list(KINDS.items()), initial=EVERYONE, widget=AdminRadioSelect
    )
    group = forms.ModelChoiceField(Group.objects.order_by("name"), required=False)
    users = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocomplete": "off"}),
        help_text=f"Usernames, with spaces or commas between them, at most {USER_LIMIT}.",
    )

    def clean(self) -> dict[str, Any]:
        """Check the audience as every other door does; errors stand at their fields."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        self.take_audience(values)
        return values

    def take_audience(self, values: dict[str, Any]) -> None:
        """Put the audience together out of its fields."""
        kind = values.get("audience_kind")
        audience: dict[str, Any] = {"kind": kind}
        if kind == GROUP:
            audience["group"] = getattr(values.get("group"), "pk", None)
            if audience["group"] is None and "group" not in self.errors:
                self.add_error("group", "Choose a group.")
        elif kind == USERS:
            audience["users"] = self._user_ids(values.get("users", ""))
        where = {GROUP: "group", USERS: "users"}.get(str(kind), "audience_kind")
        if kind and where not in self.errors:
            self.take("audience", lambda: clean_audience(audience), where)
            values["asked_audience"] = audience

    def take(self, name: str, clean: Any, where: str | None = None) -> None:
        """Keep a value that a rule of the app has cleaned, or say at its field what is wrong."""
        try:
            self.cleaned_data[name] = clean()
        except InvalidValue as error:
            self.refuse(error, where or name)

    def refuse(self, error: InvalidValue, where: str | None) -> None:
        """Say what is wrong by the field's label: its name is for those who write programs."""
        where = where if where in self.fields else None
        text = error.message.removeprefix("audience.")
        if where and text.startswith(f"{where} "):
            text = f"The {self[where].label.lower()}{text.removeprefix(where)}"
        self.add_error(where, text)

    def _user_ids(self, text: str) -> list[Any]:
        names = set(text.replace(",", " ").split())
        if len(names) > USER_LIMIT:
            self.add_error("users", f"At most {USER_LIMIT} users; these are {len(names):,}.")
            return []
        model = get_user_model()
        found = dict(
            model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names}).values_list(
                model.USERNAME_FIELD, "pk"
            )
        )
        if missing := sorted(names - found.keys()):
            self.add_error("users", f"Nobody is called {', '.join(missing[:5])}.")
        elif not names:
            self.add_error("users", "Name somebody.")
        return sorted(found.values())


class MomentField(forms.SplitDateTimeField):
    """A date and a time of the current zone. Of an hour that a night has twice, the first is meant."""

    def compress(self, data_list: Any) -> datetime | None:
        """Return the moment; raise ``ValidationError`` for a time that a night leaves out."""
        try:
            moment: datetime | None = super().compress(data_list)
        except ValidationError as error:
            if error.code != "ambiguous_timezone":
                raise
            naive, zone = datetime.combine(*data_list), timezone.get_current_timezone()
            moment = timezone.make_aware(naive, zone)
            if timezone.make_naive(moment.astimezone(UTC), zone) != naive:
                text = "The clocks go forward then, and there is no such time: choose a later one."
                raise ValidationError(text, code="invalid") from None
        return moment


class BroadcastForm(ModelForm, AudienceForm):
    """What is sent, to whom, and when; empty times mean now, and an hour later."""

    #: The same at every step of one sending, so that nothing is sent twice.
    key = forms.CharField(required=False, widget=forms.HiddenInput, initial=uuid.uuid4)

    class Meta:
        """The columns that are asked for."""

        model = Broadcast
        fields = ("type", "level", "title", "message", "dismissible", "starts_at", "ends_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in HELP.items():
            if name in self.fields:
                self.fields[name].help_text = text
        for name in LONGEST:
            if name in self.fields:
                # A browser would cut what is pasted, and say nothing: we say what is too long.
                self.fields[name].widget.attrs.pop("maxlength", None)
        zone = timezone.get_current_timezone_name()
        for name, label, empty in (
            ("starts_at", "Start", "now"),
            ("ends_at", "End", "an hour after the start"),
        ):
            if field := self.fields.get(name):
                field.required, field.initial, field.label = False, None, label
                field.help_text = f"In the time zone {zone}. Empty: {empty}."
                # The admin's own labels are text beside the two inputs.
                for part, word in zip(getattr(field.widget, "widgets", ()), ("date", "time"), strict=False):
                    part.attrs["aria-label"] = f"{label}: {word}"

    def clean_key(self) -> str:
        """Return the key that the page was given; one that was made up protects nobody."""
        try:
            return str(uuid.UUID(self.cleaned_data["key"]))
        except ValueError:
            return ""

    def clean(self) -> dict[str, Any]:
        """Check the texts, the audience and the window as every other door does."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        for name, longest in LONGEST.items():
            if name in values:
                self.take(name, lambda n=name, m=longest: plain_text(n, values[n], m))
        if not values.get("message", "-"):
            self.add_error("message", "Nothing is left of it: what looks like markup is taken out.")
        self.take_audience(values)
        if "starts_at" in values and "ends_at" in values:
            try:
                broadcasts.window(values["starts_at"], values["ends_at"])
            except InvalidValue as error:
                self.refuse_window(error)
        return values

    def refuse_window(self, error: InvalidValue) -> None:
        """Say what is wrong with the window, and what to do."""
        start = self.cleaned_data.get("starts_at")
        if error.field == "ends_at":
            self.add_error("ends_at", "The end must be later than now, and later than the start.")
        elif start is not None and start <= timezone.now():
            text = "This start, and the hour after it, are past: choose a later one, or say when it ends."
            self.add_error("starts_at", text)
        else:
            self.refuse(error, error.field)

    @property
    def must_be_confirmed(self) -> bool:
        """Whether what stands here is looked at once more before it goes out."""
        values = self.cleaned_data
        return bool(values["level"] == CRITICAL or values["audience"]["kind"] == EVERYONE)

    def renew_key(self) -> None:
        """Let the same form send another broadcast."""
        self.data = {**self.data, "key": str(uuid.uuid4())}
