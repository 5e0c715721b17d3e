"""Closing a connection from anywhere: an internal event, which the process that serves it obeys."""

from __future__ import annotations

from django.utils import timezone

from realtime import log
from realtime.events import CONNECTION_CLOSED
from realtime.models import Connection, Event


def disconnect(connection: Connection) -> None:
    """Close a client's connection, with ``disconnected`` and 4403: it is not to come back by itself.

    The log carries it, so it reaches every process, with Redis or without. Nothing happens when the
    connection has ended meanwhile; an id is never given twice.
    """
    event = Event(
        kind=CONNECTION_CLOSED,
        owner=connection.user_id,
        data={"connection_id": connection.pk.hex},
        created_at=timezone.now(),
    )
    log.append([event], using=log.database())
