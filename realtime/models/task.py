"""``Task``: a long-running job whose row is the truth about it, and whose changes are events."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connections, models, router, transaction
from django.utils import timezone

from realtime import log, notify
from realtime.events import COMPLETED, FINAL, PENDING, RUNNING, STATUSES
from realtime.models import transitions
from realtime.models.lease import renewal
from realtime.models.log import Event
from realtime.models.public import owner_text, update_event
from realtime.models.queryset import PRIVATE, TaskQuerySet, lock_rows
from realtime.models.remembering import Remembering
from realtime.models.work import Work

_ACTIVE, _ENDED = models.Q(finished_at__isnull=True), models.Q(finished_at__isnull=False)


class Task(Work, Remembering):
    """One job. Each committed change of a public field is one event, whichever way it was written."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=255)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="realtime_tasks",
    )
    status = models.CharField(max_length=16, choices=[(s, s.capitalize()) for s in STATUSES], default=PENDING)
    progress = models.PositiveSmallIntegerField(default=0, help_text="Percent, 0 to 100.")
    total = models.PositiveBigIntegerField(null=True, blank=True, help_text="Unknown when empty.")
    done = models.PositiveBigIntegerField(default=0)
    phase = models.CharField(max_length=255, blank=True, default="")
    message = models.TextField(blank=True, default="")
    result = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    error = models.TextField(blank=True, default="", help_text="Safe to show to the owner.")
    traceback = models.TextField(blank=True, default="", help_text="For staff only.")
    version = models.PositiveBigIntegerField(default=1, editable=False)
    # No constraint: the fact that this is a retry outlives the task that was retried.
    retry_of = models.ForeignKey(
        "self",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # a partial one, below: most tasks are none's retry
        null=True,
        blank=True,
        related_name="retries",
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[Any] = TaskQuerySet.as_manager()

    #: The event of its creation.
    _born: Event
    #: The row as its deletion found it.
    last_row: Task | None = None

    class Meta:
        """Indexes serve the snapshots, and the lists of the admin and the API with their filters."""

        ordering = ("-created_at", "-id")
        # Django writes ``user.realtime_tasks.add(task)`` through it: that too must reach the log.
        base_manager_name = "objects"
        indexes = (
            models.Index(fields=["owner", "-created_at"], name="realtime_task_owner"),
            models.Index(fields=["status", "-finished_at"], name="realtime_task_status"),
            models.Index(fields=["-created_at", "-id"], name="realtime_task_created"),
            models.Index(fields=["status", "-created_at", "-id"], name="realtime_task_in_status"),
            models.Index(
                fields=["retry_of"], condition=models.Q(retry_of__isnull=False), name="realtime_task_retry"
            ),
            models.Index(
                fields=["name", "-created_at"],
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                name="realtime_task_name",
            ),
            # What a snapshot shows of one owner: active tasks, which are few, and those that ended last.
            models.Index(
                fields=["owner", "-created_at", "-id"], condition=_ACTIVE, name="realtime_task_mine"
            ),
            models.Index(fields=["owner", "-finished_at"], condition=_ENDED, name="realtime_task_mine_ended"),
            # Asked by every process, every second. Who is finished has no lease, so it stays small.
            models.Index(
                fields=["lease_expires_at"],
                condition=models.Q(lease_expires_at__isnull=False),
                name="realtime_task_lease",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(progress__gte=0, progress__lte=100), name="realtime_task_progress"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"

    def save(
        self,
        force_insert: bool | tuple[Any, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Write what changed since load, on top of the row as it is now, with its event.

        Nothing is written when nothing really changes. Raises ``IllegalTransition`` when the row's
        status does not allow the change, ``InvalidValue`` for a bad value, and
        ``Task.DoesNotExist`` when the row is gone; a stale instance never brings a task back.
        """
        using = using or router.db_for_write(Task, instance=self)
        alone = not connections[using].in_atomic_block
        with self.unwritten() as take, transaction.atomic(using=using):
            if self._state.adding:
                self.prepare_insert()
                with log.staged(lambda: self._born, using=using, alone=alone):
                    super().save(force_insert=True, using=using)
                del self._born
            else:
                self._save_changes(using, alone, update_fields, take)

    def _save_table(self, *args: Any, **options: Any) -> bool:
        """Note a new row as it is written, before a receiver of ``post_save`` can change the instance."""
        updated: bool = super()._save_table(*args, **options)  # type: ignore[misc]
        if self._state.adding:
            self.remember()
            self._born = update_event(self)
        return updated

    def validate(self) -> None:
        """Clean the values in place; raise ``InvalidValue`` for one that cannot be stored."""
        for name, clean in transitions.CLEAN.items():
            setattr(self, name, clean(getattr(self, name)))

    def prepare_insert(self) -> None:
        """Make a new task whole before its first write: times that its status implies."""
        self.version = 1
        self.validate()
        now = timezone.now()
        if self.status != PENDING and self.started_at is None:
            self.started_at = now
        if self.status in FINAL and self.finished_at is None:
            self.finished_at = now
        if self.status == COMPLETED:
            self.progress = 100

    def _save_changes(
        self,
        using: str,
        alone: bool,
        only: Iterable[str] | None,
        take: Callable[[Task], dict[str, Any]],
    ) -> None:
        rows = lock_rows(Task, [self.pk], using)
        if not rows:
            raise Task.DoesNotExist(f"Task {self.pk} is gone.")
        chosen = self.changes()
        if only is not None:
            chosen &= {self._meta.get_field(name).attname for name in only}  # type: ignore[union-attr]
        written = {**take(rows[0]), **(renewal(rows[0]) if self._working else {})}
        reported = {name: value for name, value in written.items() if name not in chosen}
        for name, value in reported.items():
            setattr(self, name, value)
        self.save_onto(rows[0], chosen | set(reported), using=using, alone=alone)

    def save_onto(self, row: Task, chosen: set[str], *, using: str, alone: bool) -> None:
        """Write the chosen fields onto ``row``, this task's locked row; within a transaction."""
        previous_owner, left_alone = owner_text(row), self.changes() - chosen
        changed = self._merge(row, chosen - {"version", "updated_at"})
        # What changes is the row's to say: also what an earlier write of this transaction touched.
        self._adopt(row, left_alone - changed, changed)
        if not changed:
            return
        self._write(row, changed, previous_owner, using, alone)

    def _write(self, row: Task, changed: set[str], previous_owner: str, using: str, alone: bool) -> None:
        self._until_committed(changed, using)
        if changed <= PRIVATE:
            super().save(using=using, update_fields=changed)
            return
        with log.staged(lambda: update_event(row, previous_owner), using=using, alone=alone):
            super().save(using=using, update_fields=changed)
        if "finished_at" in changed and row.status in FINAL:
            notify.after_commit(row, using)

    def _merge(self, row: Task, chosen: set[str]) -> set[str]:
        """Put the chosen values onto the locked row; return the names of all that then differ."""
        before = {name: getattr(row, name) for name in chosen}
        status = row.status
        for name in chosen:
            setattr(row, name, getattr(self, name))
        row.validate()
        changed = {name for name in chosen if getattr(row, name) != before[name]}
        if not changed:
            return changed
        transitions.check_transition(status, row.status)
        transitions.check_change(status, changed)
        now = timezone.now()
        if row.status == RUNNING and row.started_at is None:
            row.started_at = now
            changed.add("started_at")
        if row.status in FINAL and status not in FINAL:
            row.finished_at = now
            row.progress = 100 if row.status == COMPLETED else row.progress
            row.lease_expires_at = None
            changed |= {"finished_at", "progress", "lease_expires_at"}
        if not changed <= PRIVATE:
            row.version += 1
            row.updated_at = now
            changed |= {"version", "updated_at"}
        return changed
