"""``Broadcast``: a notice to people, kept for those who come later and for the audit."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from realtime.events import BROADCAST, BROADCAST_RETRACTED, EVERYONE, rfc3339
from realtime.models.log import Event

TYPES = ("announcement", "alert", "notification")
LEVELS = ("info", "success", "warning", "critical")


def everyone() -> dict[str, Any]:
    """Return the audience that has everybody in it."""
    return {"kind": EVERYONE}


class Broadcast(models.Model):
    """One notice. Sent and retracted through :mod:`realtime.broadcasts` only.

    ``audience`` is ``{"kind": "everyone" | "staff"}``, ``{"kind": "group", "group": id, "name": …}`` or
    ``{"kind": "users", "users": [ids]}``, ids as text. From ``starts_at`` to ``ends_at`` it is also shown
    to those who connect later; ``published_at`` is empty while it waits for its start.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    type = models.CharField(
        max_length=16, choices=[(t, t.capitalize()) for t in TYPES], default="announcement"
    )
    level = models.CharField(max_length=16, choices=[(lv, lv.capitalize()) for lv in LEVELS], default="info")
    title = models.CharField(max_length=200, blank=True, default="")
    message = models.TextField(max_length=4000)
    data = models.JSONField(null=True, blank=True)
    audience = models.JSONField(default=everyone)
    dismissible = models.BooleanField(default=True)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    #: For the audit, when the sender's account is gone.
    sender_name = models.CharField(max_length=150, blank=True, default="")
    #: The sender's id, "" for none, which a deleted account does not change: keys are the sender's own.
    sender_key = models.CharField(max_length=64, blank=True, default="", editable=False)
    idempotency_key = models.CharField(max_length=200, blank=True, default="", editable=False)
    #: Digest of what was asked for with that key.
    fingerprint = models.CharField(max_length=64, blank=True, default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    retracted_at = models.DateTimeField(null=True, editable=False)
    retracted_by = models.CharField(max_length=150, blank=True, default="", editable=False)
    recipient_count = models.PositiveBigIntegerField(null=True, editable=False)
    #: The nodes that were alive when it was published, and whether all of them have told whom they reached.
    nodes = models.JSONField(default=list, editable=False)
    complete = models.BooleanField(default=False, editable=False)

    class Meta:
        """What waits for its start is asked for every second; what is in its window at each connect."""

        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(
                fields=["starts_at"],
                condition=models.Q(published_at=None, retracted_at=None),
                name="realtime_broadcast_due",
            ),
            models.Index(fields=["ends_at"], name="realtime_broadcast_ends"),
            models.Index(fields=["-created_at", "-id"], name="realtime_broadcast_created"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["sender_key", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="realtime_broadcast_once",
            ),
        )

    def __str__(self) -> str:
        return self.title or self.message[:60]

    def frame_data(self) -> dict[str, Any]:
        """Return what its event carries: what its frame tells, and the audience."""
        return {
            "broadcast_id": str(self.pk),
            "sender": self.sender_name or None,
            "message": {
                "type": self.type,
                "level": self.level,
                "title": self.title,
                "message": self.message,
                "data": self.data,
                "dismissible": self.dismissible,
                "starts_at": rfc3339(self.starts_at),
                "ends_at": rfc3339(self.ends_at),
            },
            "audience": self.audience,
        }

    def event(self) -> Event:
        """Return the row that tells the audience of it."""
        return Event(kind=BROADCAST, data=self.frame_data(), created_at=self.published_at or timezone.now())

    def retraction(self) -> Event:
        """Return the row that takes it away from the audience."""
        data = {"broadcast_id": str(self.pk), "audience": self.audience}
        return Event(kind=BROADCAST_RETRACTED, data=data, created_at=self.retracted_at or timezone.now())


class Addressee(models.Model):
    """A user whom a broadcast names: personal notices are found by it, and crowd nobody else's out."""

    broadcast = models.ForeignKey(Broadcast, on_delete=models.CASCADE, related_name="addressees")
    user_id = models.CharField(max_length=64)

    class Meta:
        """Asked for by user."""

        default_permissions = ()
        indexes = (models.Index(fields=["user_id", "broadcast"], name="realtime_addressee_user"),)

    def __str__(self) -> str:
        return f"user {self.user_id}"
