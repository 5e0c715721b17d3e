"""Clients that are connected, to any process."""

from __future__ import annotations

from django.db import models


class Connection(models.Model):
    """One client, as the process that serves it last wrote of it. It is there while its node lives.

    No foreign keys, as with events: a user who is deleted is disconnected by the process that serves him.
    """

    #: What its client was told as ``connection_id``.
    id = models.UUIDField(primary_key=True, editable=False)
    node_id = models.UUIDField(db_index=True)
    user_id = models.CharField(max_length=64, db_index=True)
    transport = models.CharField(max_length=16)
    format = models.CharField(max_length=16)
    #: As the limits see it: the client's own where a trusted proxy has told it.
    address = models.CharField(max_length=64)
    since = models.DateTimeField()
    #: When all this was so. That the client is still there, the lease of its node says.
    seen_at = models.DateTimeField()
    #: How many single tasks it watches, and which topics.
    tasks = models.PositiveIntegerField(default=0)
    topics = models.JSONField(default=list)
    #: Up to where in the log it has been served.
    position = models.BigIntegerField()
    sent = models.PositiveBigIntegerField(default=0)
    #: It reads from the log, since it was too slow for its buffer or has just come.
    behind = models.BooleanField(default=False)
    overflows = models.PositiveBigIntegerField(default=0)
    rtt_last_ms = models.FloatField(null=True)
    rtt_mean_ms = models.FloatField(null=True)

    class Meta:
        """Written by the hubs only."""

        # To delete one is to disconnect its client (:func:`realtime.closing.disconnect`).
        default_permissions = ("view", "delete")
        indexes = (
            # The admin's order: who cannot keep up comes first.
            models.Index(fields=["-behind", "-overflows", "-since", "-id"], name="realtime_connection_slow"),
        )

    def __str__(self) -> str:
        return f"{self.transport} of user {self.user_id} since {self.since:%Y-%m-%d %H:%M}"
