"""Receivers that turn what Django tells into events: deletions, fixtures, and rights that change."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model, user_logged_out
from django.contrib.auth.models import Group
from django.db import DatabaseError
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.utils import timezone

from realtime import log
from realtime.auth import tokens
from realtime.events import TASK_DELETED, USER_CHANGED
from realtime.models import Event, Task, TaskLog
from realtime.models.public import owner_text, update_event
from realtime.models.queryset import lock_rows

logger = logging.getLogger("realtime.signals")

User = get_user_model()


@receiver(pre_delete, sender=Task)
def lock_before_delete(instance: Task, using: str, **kwargs: Any) -> None:
    """Lock the row, so that the event tells of the row as it was and nothing comes between; its lines go."""
    rows = lock_rows(Task, [instance.pk], using)
    TaskLog.objects.using(using).filter(task_id=instance.pk)._raw_delete(using)
    instance.last_row = rows[0] if rows else None


@receiver(post_delete, sender=Task)
def record_delete(instance: Task, using: str, **kwargs: Any) -> None:
    """Append the event of a deletion, also of one that cascades from the owner's."""
    row = instance.last_row
    if row is None:
        return
    log.append(
        [
            Event(
                kind=TASK_DELETED,
                task_id=str(row.pk),
                owner=owner_text(row),
                version=row.version + 1,
                created_at=timezone.now(),
            )
        ],
        using=using,
    )


@receiver(post_save, sender=Task)
def record_fixture(instance: Task, raw: bool, using: str, **kwargs: Any) -> None:
    """Append the event of a row that ``loaddata`` wrote past ``Task.save``."""
    if raw:
        log.append([update_event(instance)], using=using)


def rights_changed(user_id: str, using: str) -> None:
    """Append the internal event that a user's rights may have changed; "" is anybody's."""
    # The log may live in another database than the users: then there is no common transaction.
    alias = using if using == log.database() else log.database()
    log.append([Event(kind=USER_CHANGED, owner=user_id, created_at=timezone.now())], using=alias)


@receiver(pre_save)
def password_changes(instance: Any, raw: bool, update_fields: Any, using: str, **kwargs: Any) -> None:
    """Note whether a password is being changed. Also through a proxy of the user model."""
    if not isinstance(instance, User) or raw or not hasattr(User, "password"):
        return
    changes = False
    if instance.pk and (update_fields is None or "password" in update_fields):
        rows = User._default_manager.using(using).filter(pk=instance.pk)
        before = rows.values_list("password", flat=True).first()
        changes = before not in (None, instance.password)
    vars(instance)["_realtime_password_changes"] = changes


@receiver(post_save)
def user_saved(
    instance: Any, created: bool, raw: bool, update_fields: Any, using: str, **kwargs: Any
) -> None:
    """A user who logs in changes no right; any other save may. A new password is a logout."""
    if not isinstance(instance, User) or created or raw or set(update_fields or ()) == {"last_login"}:
        return
    if getattr(instance, "_realtime_password_changes", False):
        tokens.revoke(str(instance.pk))
    else:
        rights_changed(str(instance.pk), using)


@receiver(user_logged_out)
def session_ended(user: Any, **kwargs: Any) -> None:
    """The connections that the session's cookie opened end with it.

    A log that cannot be written must keep nobody logged in: the next look finds the session gone.
    """
    if user is None:
        return
    try:
        rights_changed(str(user.pk), log.database())
    except DatabaseError:
        logger.warning("A logout could not be written to the log.", exc_info=True)


@receiver(post_delete)
def user_deleted(instance: Any, using: str, **kwargs: Any) -> None:
    """A deleted user may see nothing any more."""
    if isinstance(instance, User):
        rights_changed(str(instance.pk), using)


def members_changed(instance: Any, action: str, reverse: bool, using: str, **kwargs: Any) -> None:
    """Groups or permissions were given or taken; from the other side it may be anybody's."""
    if action in ("post_add", "post_remove", "post_clear"):
        of_one_user = not reverse and isinstance(instance, User)
        rights_changed(str(instance.pk) if of_one_user else "", using)


for _relation in ("groups", "user_permissions"):
    if hasattr(User, _relation):
        m2m_changed.connect(members_changed, sender=getattr(User, _relation).through)
m2m_changed.connect(members_changed, sender=Group.permissions.through)
