"""Models that publish their own changes: chosen fields of a row, to the topic of that row.

>>> class Order(LiveModel):
...     live_topic = "order"
...     live_fields = ("status", "total")

Each committed change of these fields is one event of ``order.<primary key>``: ``created``, ``changed`` or
``deleted``, with the fields as they then are. So the last event is how things are, and so is a snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Any, ClassVar

import msgspec
from django.db import connections, models, router, transaction
from django.db.models.signals import class_prepared, post_delete

from realtime import log
from realtime.conf import conf
from realtime.exceptions import InvalidValue
from realtime.models.log import Event
from realtime.models.transitions import clean_json, safe_json
from realtime.publishing import append_after, event_of
from realtime.registry import Topic

logger = logging.getLogger("realtime.topics")

CREATED, CHANGED, DELETED = "created", "changed", "deleted"
#: Rows locked, changed and recorded at a time.
CHUNK = 500

#: The public form of rows, by primary key.
States = dict[Any, dict[str, Any]]


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
        return bool(user.has_perm(permission)) and self.rows(key).exists()

    def snapshot(self, key: str) -> dict[str, Any] | None:
        """Return the fields as they are: what the last event told."""
        rows = self.rows(key)
        return next(iter(states(self.model, [row.pk for row in rows], rows.db).values()), None)


def touches(model: type[LiveModel], names: Collection[str]) -> bool:
    """Tell whether a write of these fields may change what a live model tells."""
    live = [model._meta.get_field(name) for name in model.live_fields]
    told = {name for field in live for name in (field.name, getattr(field, "attname", ""))}
    return not told.isdisjoint(names) or any(getattr(field, "generated", False) for field in live)


def states(model: type[LiveModel], pks: Collection[Any], using: str, *, lock: bool = False) -> States:
    """Return rows in their public form; ``lock`` holds them, in one order, until the transaction ends."""
    plain: models.QuerySet[Any] = models.QuerySet(model, using=using)
    rows = plain.filter(pk__in=list(pks)).order_by("pk")
    if lock and connections[using].features.has_select_for_update:
        rows = rows.select_for_update()
    names = list(model.live_fields)
    found = rows.values_list("pk", *names)
    return {pk: public(dict(zip(names, values, strict=True))) for pk, *values in found}


def public(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields as JSON without secrets, the largest left out until they fit ``MAX_EVENT_SIZE``.

    What was left out is named in ``truncated``; so is, and logged, what JSON cannot hold: a change must not
    fail because it cannot be told.
    """
    clean: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in fields.items():
        try:
            clean[name] = clean_json(value)
        except InvalidValue as error:
            logger.warning("The field %s is not told: %s", name, error)
            left_out.append(name)
    data: dict[str, Any] = safe_json(clean)
    sizes = {name: len(msgspec.json.encode(value)) for name, value in data.items()}
    if left_out:
        data["truncated"] = left_out
    while sizes and len(msgspec.json.encode(data)) > conf.MAX_EVENT_SIZE:
        largest = max(sizes, key=sizes.__getitem__)
        del data[largest], sizes[largest]
        left_out.append(largest)
        data["truncated"] = left_out
    return data


def record(model: type[LiveModel], before: States, after: States, using: str) -> None:
    """Append an event for each row that differs, within the transaction that changed it."""
    changed = [pk for pk, state in after.items() if before.get(pk) != state]
    tell(model, {pk: CHANGED if pk in before else CREATED for pk in changed}, after, using)


def tell(model: type[LiveModel], types: dict[Any, str], after: States, using: str) -> None:
    """Append an event of its type for each row, with its state ``after``; {} of one that is deleted.

    Of rows in another database than the log's, what they are once the change has committed: the callbacks of
    two transactions may run in either order, and the last word must be how things are.
    """
    if not types:
        return
    if using == log.database():
        log.append(events_of(model, types, after), using=using)
        return

    def later() -> Iterator[Event]:
        # Locked until it is told, or another's newer state might be told before.
        now = states(model, types, using, lock=True)
        return events_of(model, {pk: type if pk in now else DELETED for pk, type in types.items()}, now)

    append_after(using, later)


def events_of(model: type[LiveModel], types: dict[Any, str], after: States) -> Iterator[Event]:
    """Make the events. That a row's key cannot be a topic's is logged: its change must not fail."""
    for pk, type in types.items():
        try:
            yield event_of(f"{model.live_topic}.{pk}", type, after.get(pk, {}))
        except InvalidValue as error:
            logger.warning("A change of %s is not told: %s", model._meta.label, error)


def begin_write(using: str) -> None:
    """Take SQLite's write lock, where the tables are those of the log."""
    if using == log.database():
        log.begin_write(using)


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
