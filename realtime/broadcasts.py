"""Broadcasts: send a notice to people, now or at a time, and take it back.

>>> broadcasts.send("Maintenance in ten minutes.", level="warning", sender=request.user)

A broadcast is a row and an event of the log, so it reaches every connection of its audience once, whatever
fails, and those who come later while its window is open.
"""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone

from realtime import log
from realtime.conf import conf
from realtime.exceptions import InvalidValue, KeyConflict
from realtime.models import Addressee, Broadcast, Node, Reach
from realtime.models.notices import clean_audience, clean_choice, clean_data, plain_text

#: How long a notice without an end is shown to those who come later.
WINDOW = timedelta(hours=1)
#: Broadcasts that are published in one look at what is due.
DUE = 100
#: Seconds without a sign of life after which a node counts as dead.
LEASE = 15.0
#: Seconds between looks at who has reported: at first, and at most.
LOOK, LONGEST_LOOK = 0.02, 0.2
#: Seconds that reports are waited for at most.
LONGEST = 5.0
#: Characters of a username that are kept.
NAME = 150


class Reached(NamedTuple):
    """How many connections a broadcast was handed to; ``complete`` when every live node has said so."""

    recipients: int
    complete: bool


def send(
    message: str,
    *,
    title: str = "",
    type: str = "announcement",
    level: str = "info",
    data: Any = None,
    audience: Any = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    dismissible: bool = True,
    sender: Any = None,
    idempotency_key: str = "",
) -> Broadcast:
    """Send a notice; return its row. Plain text only: markup is taken out.

    ``audience`` is "everyone" (the default), "staff", ``{"kind": "group", "group": id or name}`` or
    ``{"kind": "users", "users": [ids]}``. With ``starts_at`` in the future it is sent then. A second call
    with the same sender and ``idempotency_key`` sends nothing and returns the first one's row.

    Raises ``InvalidValue`` with the ``field`` that is bad, and ``KeyConflict`` when the key was used for
    something else.
    """
    using, now = log.database(), timezone.now()
    begin, end = window(starts_at, ends_at, now)
    broadcast = Broadcast(
        type=clean_choice("type", type),
        level=clean_choice("level", level),
        title=plain_text("title", title, 200),
        message=plain_text("message", message, 4000, required=True),
        data=clean_data(data),
        audience=clean_audience(audience),
        dismissible=dismissible,
        starts_at=begin,
        ends_at=end,
        sender=sender,
        sender_name=_name(sender),
        sender_key="" if sender is None else str(sender.pk),
        idempotency_key=_clean_key(idempotency_key),
        created_at=now,
    )
    if broadcast.idempotency_key:
        broadcast.fingerprint = _fingerprint(broadcast, starts_at, ends_at)
        if (earlier := _earlier(broadcast, using)) is not None:
            return earlier
    try:
        with transaction.atomic(using=using):
            log.begin_write(using)
            broadcast.save(using=using, force_insert=True)
            _address(broadcast, using)
            if begin <= now:
                _publish(broadcast, using)
    except IntegrityError:
        # Somebody else was first with the key.
        if not broadcast.idempotency_key or (earlier := _earlier(broadcast, using)) is None:
            raise
        return earlier
    return broadcast


def find(broadcast_id: str) -> Broadcast | None:
    """Return the broadcast with this id; None when there is none, or it is no id."""
    try:
        return Broadcast.objects.using(log.database()).filter(pk=broadcast_id).first()
    except ValidationError:
        return None


def retract(broadcast: Broadcast, by: Any = None) -> bool:
    """Take a notice away from everybody who has it; tell whether it was there to be taken away."""
    using, now = log.database(), timezone.now()
    with transaction.atomic(using=using):
        log.begin_write(using)
        rows = Broadcast.objects.using(using).filter(pk=broadcast.pk, retracted_at=None)
        if not rows.update(retracted_at=now, retracted_by=_name(by)):
            return False
        broadcast.refresh_from_db(using=using)
        if broadcast.published_at is not None:
            log.append([broadcast.retraction()], using=using)
    return True


async def asend(message: str, **options: Any) -> Broadcast:
    """Do what :func:`send` does, from async code."""
    sent: Broadcast = await sync_to_async(send)(message, **options)
    return sent


async def aretract(broadcast: Broadcast, by: Any = None) -> bool:
    """Do what :func:`retract` does, from async code."""
    return bool(await sync_to_async(retract)(broadcast, by))


def publish_due(using: str | None = None) -> None:
    """Send what has waited for its start. For the hubs: each asks now and then, one of them sends."""
    using, now = using or log.database(), timezone.now()
    due = Broadcast.objects.using(using).filter(
        published_at=None, retracted_at=None, starts_at__lte=now, ends_at__gt=now
    )
    for broadcast in due.order_by("starts_at")[:DUE]:
        with transaction.atomic(using=using):
            log.begin_write(using)
            _publish(broadcast, using)


def _publish(broadcast: Broadcast, using: str) -> None:
    waiting = Broadcast.objects.using(using).filter(pk=broadcast.pk, published_at=None, retracted_at=None)
    broadcast.published_at = timezone.now()
    broadcast.nodes = [str(pk) for pk in alive(using).values_list("pk", flat=True)]
    found = {"published_at": broadcast.published_at, "nodes": broadcast.nodes}
    if not broadcast.nodes:
        # Without a process there is nobody to be reached.
        found |= {"recipient_count": 0, "complete": True}
    if waiting.update(**found):
        log.append([broadcast.event()], using=using)


def _address(broadcast: Broadcast, using: str) -> None:
    users = broadcast.audience.get("users", ())
    Addressee.objects.using(using).bulk_create(Addressee(broadcast=broadcast, user_id=each) for each in users)


def alive(using: str) -> QuerySet[Node]:
    """Return the nodes whose lease runs, by the database's clock: the hosts' may differ."""
    return Node.objects.using(using).filter(seen_at__gt=Now() - timedelta(seconds=LEASE)).order_by("pk")


def wait_for_reach(broadcast: Broadcast) -> Reached:
    """Wait until every node that was alive has told how many connections it handed the broadcast to.

    Without a channel layer a node hears of it within ``LOG_CHECK_INTERVAL``; a second more is given, and
    five in all at most. Within a transaction nobody can hear of it yet: nothing is waited for.
    """
    using = log.database()
    deadline, look = time.monotonic() + min(conf.LOG_CHECK_INTERVAL + 1, LONGEST), LOOK
    row = Broadcast.objects.using(using).filter(pk=broadcast.pk)
    while True:
        count, complete = row.values_list("recipient_count", "complete")[0]
        told = Reached(count or 0, complete)
        if complete or time.monotonic() > deadline or connections[using].in_atomic_block:
            return told
        time.sleep(look)
        look = min(look * 1.5, LONGEST_LOOK)


def report_reach(broadcast_id: UUID, node_id: UUID, recipients: int, using: str) -> None:
    """Note what a node tells of its connections. Telling twice counts once; never within a transaction.

    Each statement commits by itself, so of nodes that tell at the same time the last sees all.
    """
    report = Reach(
        broadcast_id=broadcast_id, node_id=node_id, connections=recipients, created_at=timezone.now()
    )
    Reach.objects.using(using).bulk_create([report], ignore_conflicts=True)
    rows = Broadcast.objects.using(using).filter(pk=broadcast_id)
    reports = Reach.objects.using(using).filter(broadcast_id=broadcast_id)
    told = {str(node): count for node, count in reports.values_list("node_id", "connections")}
    for nodes in rows.values_list("nodes", flat=True):
        total = Greatest(Coalesce("recipient_count", 0), sum(told.values()))
        # Never back: who saw less may write later.
        settled = {"complete": True} if set(nodes) <= told.keys() else {}
        rows.update(recipient_count=total, **settled)


def window(
    starts_at: datetime | None, ends_at: datetime | None, now: datetime | None = None
) -> tuple[datetime, datetime]:
    """Return when a notice begins and ends. Raises ``InvalidValue`` for an end that is over."""
    now = now or timezone.now()
    for name, moment in (("starts_at", starts_at), ("ends_at", ends_at)):
        if moment is not None and timezone.is_naive(moment) and settings.USE_TZ:
            raise InvalidValue(message=f"{name} needs a time zone.", field=name)
    begin = starts_at or now
    try:
        end = ends_at or begin + WINDOW
    except OverflowError:
        raise InvalidValue(message="starts_at is too far away.", field="starts_at") from None
    if end <= max(now, begin):
        wrong = "ends_at" if ends_at else "starts_at"
        raise InvalidValue(message="The end is after the start, and in the future.", field=wrong)
    return begin, end


def _name(user: Any) -> str:
    return "" if user is None else str(user.get_username())[:NAME]


def _clean_key(key: str) -> str:
    if len(key) > 200 or not key.isprintable():
        raise InvalidValue(
            message="An idempotency key is printable text of at most 200 characters.",
            field="idempotency_key",
        )
    return key


def _fingerprint(broadcast: Broadcast, starts_at: datetime | None, ends_at: datetime | None) -> str:
    """Return a digest of what was asked for; times only as they were given, since "now" moves."""
    asked = [getattr(broadcast, name) for name in ("type", "level", "title", "message", "data", "audience")]
    asked += [broadcast.dismissible, starts_at, ends_at]
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()


def _earlier(broadcast: Broadcast, using: str) -> Broadcast | None:
    rows = Broadcast.objects.using(using).filter(
        sender_key=broadcast.sender_key, idempotency_key=broadcast.idempotency_key
    )
    earlier = rows.first()
    if earlier is not None and earlier.fingerprint != broadcast.fingerprint:
        raise KeyConflict
    return earlier
