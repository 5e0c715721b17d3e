"""Writes of many tasks at once: each real change of each row is one event."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from realtime import log, notify
from realtime.events import COMPLETED, FINAL, RUNNING
from realtime.models.public import owner_text, update_event
from realtime.models.transitions import check_change, check_transition, clean_value

if TYPE_CHECKING:
    from realtime.models.task import Task

#: Rows locked, changed and recorded at a time.
CHUNK = 500
#: Changes that no client sees, so that they are no event.
PRIVATE = frozenset({"traceback", "lease_expires_at"})


def lock_rows(model: type[Task], pks: Collection[Any], using: str) -> list[Task]:
    """Lock rows until the transaction ends, always in one order, and return them as they are now."""
    log.begin_write(using)
    rows: models.QuerySet[Task] = models.QuerySet(model, using=using).filter(pk__in=pks).order_by("pk")
    if connections[using].features.has_select_for_update:
        rows = rows.select_for_update()
    return list(rows)


class TaskQuerySet(models.QuerySet["Task"]):
    """A queryset whose ``update``, ``bulk_*`` and ``delete`` reach the log."""

    def update(self, **kwargs: Any) -> int:
        """Update every row, and append an event for each that really changed.

        Returns the number of rows matched. Raises ``IllegalTransition``, with nothing changed, when
        one of the rows may not change so.
        """
        values = {name: clean_value(name, value) for name, value in kwargs.items()}
        count = 0
        self._for_write = True  # or a router might name the replica that is read from
        with transaction.atomic(using=self.db):
            log.begin_write(self.db)
            pks = list(self.order_by("pk").values_list("pk", flat=True))
            for start in range(0, len(pks), CHUNK):
                count += self._update_chunk(pks[start : start + CHUNK], values)
        self._result_cache = None
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def _plain(self, pks: Collection[Any]) -> models.QuerySet[Task]:
        """Return rows as a queryset whose ``update`` is Django's own."""
        return models.QuerySet(self.model, using=self.db).filter(pk__in=pks)

    def _update_chunk(self, pks: list[Any], values: dict[str, Any]) -> int:
        locked = {task.pk: task for task in lock_rows(self.model, pks, self.db)}
        # Asked again under the lock: a row may have stopped matching the filter before we had it.
        still = self.order_by().filter(pk__in=list(locked)).values_list("pk", flat=True)
        before = {pk: locked[pk] for pk in still}
        self._plain(before).update(**values)
        changed: list[Any] = []
        for task in self._plain(before):
            if fields := before[task.pk].differences(task):
                check_transition(before[task.pk].status, task.status)
                check_change(before[task.pk].status, fields)
                task.validate()
                if fields - PRIVATE:
                    changed.append(task.pk)
        if changed:
            self._stamp(changed, before)
            written = list(self._plain(changed).order_by("pk"))
            log.append([update_event(task, owner_text(before[task.pk])) for task in written], using=self.db)
            for task in written:
                if task.status in FINAL and before[task.pk].status not in FINAL:
                    notify.after_commit(task, self.db)
        return len(before)

    def _stamp(self, pks: list[Any], before: dict[Any, Task]) -> None:
        """Write what every change brings with it: the version and the times."""
        now = timezone.now()
        self._plain(pks).update(version=F("version") + 1, updated_at=now)
        moved = self._plain([pk for pk in pks if before[pk].status not in FINAL])
        moved.filter(status=RUNNING, started_at=None).update(started_at=now)
        moved.filter(status__in=FINAL).update(finished_at=Coalesce("finished_at", now), lease_expires_at=None)
        moved.filter(status=COMPLETED).update(progress=100)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete every row; each is one event. Locked in one order first, or two deletes could deadlock."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            lock_rows(self.model, list(self.order_by().values_list("pk", flat=True)), self.db)
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[Task],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Task]:
        """Insert many tasks; each is one event.

        Raises ``ValueError`` with ``ignore_conflicts`` or ``update_conflicts``: the database does not
        tell which rows it wrote, so their events could not be true.
        """
        if ignore_conflicts or update_conflicts:
            raise ValueError("Tasks cannot be created with conflicts ignored or updated.")
        tasks = list(objs)
        for task in tasks:
            task.prepare_insert()
        self._for_write = True
        with transaction.atomic(using=self.db):
            created = super().bulk_create(tasks, batch_size)
            log.append([update_event(task) for task in created], using=self.db)
        for task in created:
            task.remember()
        return created

    def bulk_update(self, objs: Iterable[Task], *args: Any, **kwargs: Any) -> int:
        """Write fields of many tasks; each row that really changed is one event."""
        tasks = list(objs)
        for task in tasks:
            task.validate()
        return super().bulk_update(tasks, *args, **kwargs)

    bulk_update.alters_data = True  # type: ignore[attr-defined]
