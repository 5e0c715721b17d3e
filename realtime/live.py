"""Models that publish their own changes: chosen fields of a row, to the topic of that row.

>>> class Order(LiveModel):
...     live_topic = "order"
...     live_fields = ("status", "total")

Each committed change of these fields is one event of ``order.<primary key>``: ``created``, ``changed`` or
``deleted``, with the fields as they then are. So the last event is how things are, and so is a snapshot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.db import models, router, transaction
from django.db.models.signals import class_prepared, post_delete

from realtime.changes import DELETED, begin_write, record, states, tell, touches
from realtime.permissions import may
from realtime.registry import Topic

#: Rows locked, changed and recorded at a time.
CHUNK = 500


class LiveQuerySet(models.QuerySet[Any]):
    """A queryset whose ``update``, ``bulk_*`` and ``delete`` publish too. Derive yours from it."""

    def update(self, **kwargs: Any) -> int:
        """Update every row; each that really changed is one event. Returns the number of rows matched."""
        if not touches(self.model, kwargs):
            return super().update(**kwargs)
        self._for_write, count = True, 0
        with transaction.atomic(using=self.db):
            begin_write(self.db)
            pks = list(self.order_by("pk").values_list("pk", flat=True))
            for start in range(0, len(pks), CHUNK):
                before = states(self.model, pks[start : start + CHUNK], self.db, lock=True)
                # Filtered again under the lock: a row may have stopped matching before we had it.
                rows = self.order_by().filter(pk__in=list(before))
                count += models.QuerySet.update(rows, **kwargs)
                record(self.model, before, states(self.model, before, self.db), self.db)
        self._result_cache = None
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete every row; each is one event. Locked in one order first, or two deletes could deadlock."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            begin_write(self.db)
            pks = list(self.order_by().values_list("pk", flat=True))
            for start in range(0, len(pks), CHUNK):
                states(self.model, pks[start : start + CHUNK], self.db, lock=True)
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        """Insert many rows; each is one event.

        Raises ``ValueError`` with ``ignore_conflicts`` or ``update_conflicts``, or where the database does
        not tell the new keys: nobody would know which rows were written.
        """
        if ignore_conflicts or update_conflicts:
            raise ValueError("Live models cannot be created with conflicts ignored or updated.")
        self._for_write = True
        with transaction.atomic(using=self.db):
            created: list[Any] = super().bulk_create(objs, batch_size)
            pks = [one.pk for one in created]
            if None in pks:
                raise ValueError("This database does not tell the keys of rows that are created at once.")
            for start in range(0, len(pks), CHUNK):
                record(self.model, {}, states(self.model, pks[start : start + CHUNK], self.db), self.db)
        return created


class LiveModel(models.Model):
    """A model whose chosen fields are told as they change, by ``save()``, ``delete()`` and its managers.

    A row is locked while it is changed, and read before and after: what did not change is not told, and what
    the database computed is. Raw SQL tells nothing.
    """

    #: The name of the topic; that of a row is ``<live_topic>.<primary key>``.
    live_topic: ClassVar[str] = ""
    #: Names of columns. A foreign key is told as the key.
    live_fields: ClassVar[Collection[str]] = ()

    objects: ClassVar[Any] = LiveQuerySet.as_manager()
    #: What Django itself writes through, whatever ``objects`` is in your model.
    live_objects: ClassVar[Any] = LiveQuerySet.as_manager()

    class Meta:
        """To be inherited."""

        abstract = True
        base_manager_name = "live_objects"

    def _save_table(
        self,
        raw: bool = False,
        cls: Any = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
    ) -> bool:
        """Write a table's part of the row, with the event, before a receiver of ``post_save`` goes on."""
        model, alias = type(self), using or router.db_for_write(type(self), instance=self)
        options = (raw, cls, force_insert, force_update, using, update_fields)
        if update_fields is not None and not touches(model, update_fields):
            return bool(super()._save_table(*options))  # type: ignore[misc]
        with transaction.atomic(using=alias, savepoint=False):
            begin_write(alias)
            known = self.pk is not None and not force_insert
            before = states(model, [self.pk], alias, lock=True) if known else {}
            updated = bool(super()._save_table(*options))  # type: ignore[misc]
            record(model, before, states(model, [self.pk], alias), alias)
        return updated

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete the row, with the event. Of one that is gone already: no event, no signal."""
        alias = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=alias):
            begin_write(alias)
            if self.pk is not None and not states(type(self), [self.pk], alias, lock=True):
                setattr(self, self._meta.pk.attname, None)
                return 0, {self._meta.label: 0}
            return super().delete(using, keep_parents)

    delete.alters_data = True  # type: ignore[attr-defined]


class ModelTopic(Topic):
    """The topic of a live model: name ``model``, and say who may see a row.

    >>> @register
    ... class Orders(ModelTopic):
    ...     model = Order
    ...
    ...     def allows(self, user, key):
    ...         return self.rows(key).filter(customer=user).exists()
    """

    model: ClassVar[type[LiveModel]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Take the name from the model."""
        super().__init_subclass__(**options)
        if not cls.name and hasattr(cls, "model"):
            cls.name = cls.model.live_topic

    def rows(self, key: str) -> models.QuerySet[Any]:
        """Return the row with this key as a queryset: empty when there is none, or it is not written so."""
        plain: models.QuerySet[Any] = models.QuerySet(self.model, using=router.db_for_write(self.model))
        rows = plain.filter(pk=key)
        return rows if str(self.model._meta.pk.to_python(key)) == key else rows.none()

    def allows(self, user: Any, key: str) -> bool:
        """Tell whether the user has Django's permission to view the model, and there is such a row."""
        permission = f"{self.model._meta.app_label}.view_{self.model._meta.model_name}"
        return may(user, permission) and self.rows(key).exists()

    def snapshot(self, key: str) -> dict[str, Any] | None:
        """Return the fields as they are: what the last event told."""
        rows = self.rows(key)
        return next(iter(states(self.model, [row.pk for row in rows], rows.db).values()), None)


def deleted(instance: LiveModel, using: str, **kwargs: Any) -> None:
    """Publish that a row is gone, also one that went with another."""
    # As the database has it: an instance may have been made with the key as text.
    pk = instance._meta.pk.to_python(instance.pk)
    tell(type(instance), {pk: DELETED}, {}, using)


def watch_deletions(sender: type[models.Model], **kwargs: Any) -> None:
    """Be told of the deletions of a live model: Django then deletes no row of it unseen.

    Of a model with a live parent the parent's row tells; a proxy has none of its own.
    """
    parents = [parent for parent, link in sender._meta.parents.items() if link is not None]
    if issubclass(sender, LiveModel) and not any(issubclass(parent, LiveModel) for parent in parents):
        post_delete.connect(deleted, sender=sender)


class_prepared.connect(watch_deletions)
