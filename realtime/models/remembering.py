"""What a task's instance remembers of its row, so that a save writes only what was changed since."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any, Self

from django.db import models, transaction

from realtime.models.transitions import copied


class Remembering(models.Model):
    """A part of ``Task``: the values that its row had when it was read or written last."""

    class Meta:
        """The fields are those of ``Task``."""

        abstract = True

    _loaded: dict[str, Any]
    #: Fields written in a transaction that may never be committed.
    _uncommitted: frozenset[str] = frozenset()

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any
    ) -> Self:
        """Load a row and remember it."""
        task = super().from_db(db, field_names, values, **options)
        task.remember()
        return task

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        """Read the row again, or some of its fields, and remember what was read."""
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self.remember(names)
        self._uncommitted = frozenset() if names is None else self._uncommitted - set(names)

    def remember(self, names: Collection[str] | None = None) -> None:
        """Note the field values, or those of some fields, as those of the row."""
        if names is None:
            self._loaded = {}
        for field in self._meta.concrete_fields:
            name = field.attname
            if name in self.__dict__ and (names is None or name in names or field.name in names):
                # A copy, or a change inside of it would go unnoticed.
                value = self.__dict__[name]
                self._loaded[name] = copied(value) if name == "result" else value

    def changes(self) -> set[str]:
        """Return the names of the fields that may differ from those of the committed row."""
        loaded = getattr(self, "_loaded", {})
        return {
            f.attname
            for f in self._meta.concrete_fields
            if f.attname in self.__dict__
            and (
                f.attname in self._uncommitted
                or f.attname not in loaded
                or self.__dict__[f.attname] != loaded[f.attname]
            )
        }

    def differences(self, other: Self) -> set[str]:
        """Return the names of the fields that differ between two states of one row."""
        names = [field.attname for field in self._meta.concrete_fields]
        return {name for name in names if getattr(self, name) != getattr(other, name)}

    def _adopt(self, row: Self, left_alone: set[str], changed: set[str]) -> None:
        """Take over the row's values, so that this instance is not stale, but for unsaved ones.

        Of deferred fields only those that ``changed``: they are going to be written from here.
        """
        names = (set(self.__dict__) | changed) - left_alone
        names &= {field.attname for field in self._meta.concrete_fields}
        for name in names:
            setattr(self, name, getattr(row, name))
        self.remember(names)

    def _until_committed(self, names: set[str], using: str) -> None:
        """If the transaction fails or is rolled back, the next save writes these fields again."""
        self._uncommitted |= names
        transaction.on_commit(partial(self._committed, names), using=using, robust=True)

    def _committed(self, names: set[str]) -> None:
        self._uncommitted -= names
