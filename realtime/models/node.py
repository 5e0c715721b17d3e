"""Server processes that are alive, and what they reached."""

from __future__ import annotations

import uuid

from django.db import models


class Node(models.Model):
    """A live process with a hub: a lease, renewed while it lives and swept when it is old."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveBigIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        """Written by the hubs only."""

        default_permissions = ("view",)
        verbose_name = "server process"
        verbose_name_plural = "server processes"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Live(Node):
    """The live dashboard, as the admin knows it: a name for its address, its link and its place in the index.

    Who may see it is who may see all tasks.
    """

    class Meta:
        """No table and no permissions of its own."""

        proxy = True
        default_permissions = ()
        verbose_name = "live dashboard"
        verbose_name_plural = "live dashboard"


class Reach(models.Model):
    """How many connections of one node a broadcast was handed to."""

    broadcast_id = models.UUIDField()
    node_id = models.UUIDField()
    connections = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        """One report of a node for a broadcast."""

        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["broadcast_id", "node_id"], name="realtime_reach_once"),
        )

    def __str__(self) -> str:
        return f"{self.connections} connections of node {self.node_id}"
