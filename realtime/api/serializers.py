"""What a request may bring, strictly typed: no number as text, no yes or no as a number, nothing unknown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from realtime.api.moments import rfc3339_moment
from realtime.events import STATUSES
from realtime.exceptions import InvalidValue
from realtime.models.transitions import clean_json, clean_progress, clean_text

BIGGEST = 2**63 - 1
#: Unknown fields that are named in an answer.
NAMED = 20


class Strict(serializers.Serializer[Any]):
    """Refuses fields it does not know: a typing error must not be passed over."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the values; raise ``ValidationError`` that names every wrong and unknown field."""
        problems: dict[str, Any] = {}
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields][:NAMED]
            problem = ErrorDetail("There is no such field.", "unknown_field")
            problems = {clean_text(name[:100]): [problem] for name in unknown}
        try:
            values: dict[str, Any] = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**error.detail, **problems}) from None
        if problems:
            raise ValidationError(problems)
        return values


class Text(serializers.CharField):
    """Text, taken as it is. What no database holds is replaced, as the models do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        refusing = (ProhibitNullCharactersValidator, ProhibitSurrogateCharactersValidator)
        given: list[Any] = self.validators  # type: ignore[has-type]
        self.validators = [v for v in given if not isinstance(v, refusing)]

    def to_internal_value(self, data: Any) -> str:
        """Return the text; a number is none."""
        if not isinstance(data, str):
            self.fail("invalid")
        return clean_text(data)


class Whole(serializers.IntegerField):
    """A whole number from 0; 3.0 is one, as JSON does not tell them apart."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=BIGGEST, **options)

    def to_internal_value(self, data: Any) -> int:
        """Return the number; text and true are none."""
        if isinstance(data, bool) or not isinstance(data, int | float) or data != data // 1:
            self.fail("invalid")
        return int(data)


class Percent(serializers.FloatField):
    """A number from 0 to 100, rounded down."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=100, **options)

    def to_internal_value(self, data: Any) -> int:
        """Return whole percents; text and true are none."""
        try:
            return clean_progress(data)
        except InvalidValue:
            raise ValidationError("A number from 0 to 100 is required.", "invalid") from None


class Json(serializers.JSONField):
    """Any JSON value that every client can be sent."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the value; raise ``ValidationError`` for a number that not every client can hold."""
        try:
            value = clean_json(data)
        except InvalidValue as error:
            raise ValidationError(error.message, error.problem.code) from None
        if not _fits(value):
            raise ValidationError("A whole number of more than 64 bits.", "invalid_value")
        return value


def _fits(value: Any) -> bool:
    """Tell whether MessagePack has a form for every number within; bodies are not deep."""
    if isinstance(value, dict):
        return all(_fits(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_fits(inner) for inner in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


class Word(serializers.ChoiceField):
    """One of some words."""

    def to_internal_value(self, data: Any) -> str:
        """Return the word; the error does not repeat what was sent, however long."""
        if not isinstance(data, str) or data not in self.choices:
            raise ValidationError(f"One of {', '.join(self.choices)}.", "invalid_choice")
        return data


class Moment(serializers.DateTimeField):
    """A time as RFC 3339 §5.6: with its offset, or it would mean another in each place."""

    def to_internal_value(self, data: Any) -> datetime:
        """Return the time; a date, or a time of no zone, is none."""
        try:
            return rfc3339_moment(data)
        except (TypeError, ValueError, OverflowError):
            raise ValidationError("A time as RFC 3339, such as 2026-11-21T00:50:19Z.", "invalid") from None


class YesOrNo(serializers.BooleanField):
    """true or false; no word and no number stands for them."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the value as it is."""
        if not isinstance(data, bool):
            raise ValidationError("true or false.", "invalid")
        return data


class NewTask(Strict):
    """A task to be made, for the caller unless ``owner`` says otherwise."""

    name = Text(max_length=255)
    owner = Text(
        required=False,
        max_length=64,
        help_text="A user's id. For another than the caller the permission `realtime.add_task` is needed.",
    )
    total = Whole(required=False, allow_null=True, help_text="How many there are to do; null: not known.")
    phase = Text(required=False, allow_blank=True, max_length=255)
    message = Text(required=False, allow_blank=True)


class TaskChange(Strict):
    """What a worker tells of its task: any of these, in one change and one event."""

    status = Word(required=False, choices=STATUSES)
    progress = Percent(required=False, help_text="Percent. Follows from `done` of `total` when not given.")
    done = Whole(required=False)
    total = Whole(required=False, allow_null=True, help_text="null: not known.")
    phase = Text(required=False, allow_blank=True, max_length=255)
    message = Text(required=False, allow_blank=True)
    result = Json(required=False, allow_null=True, help_text="Any JSON value.")
    error = Text(required=False, allow_blank=True, help_text="Safe to show to the owner.")


def checked(serializer: Strict) -> dict[str, Any]:
    """Return what a request brings. Raises ``ValidationError``."""
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
