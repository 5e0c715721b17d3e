"""Tickets: a random text that opens one connection, for clients that can send no header.

It is worth what the credential was with which it was asked for, and ends with it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone

from realtime import log
from realtime.auth import sessions, tokens
from realtime.auth.identity import fingerprint, viewer_of
from realtime.conf import conf
from realtime.events import Credential, Viewer
from realtime.exceptions import FORBIDDEN, INVALID_TICKET, REVOKED, TOKEN_EXPIRED, USER_INACTIVE, Refused
from realtime.models import Ticket

#: Expired tickets that are removed when one is issued: more than are made, so that none stay.
SWEEP = 10
#: What every ticket begins with, so that who finds one in a file knows it, as our own logs do.
PREFIX = "tkt_"


def issue(user: Any, credential: Credential, expires_with: float | None) -> str:
    """Make a ticket for ``user``, valid once and for ``TICKET_SECONDS``.

    Raises ``Refused`` for a session whose key is in no table: it must not be put into one.
    """
    if credential.kind == sessions.KIND and settings.SESSION_ENGINE not in sessions.IN_TABLE:
        raise Refused(FORBIDDEN, "Sessions of this site give no tickets: use the cookie, or a token.")
    ticket = PREFIX + secrets.token_urlsafe(32)
    now = timezone.now()
    _tickets().create(
        digest=_digest(ticket),
        user_id=str(user.pk),
        credential=msgspec.to_builtins(credential),
        expires_with=expires_with,
        expires_at=now + timedelta(seconds=conf.TICKET_SECONDS),
    )
    sweep(SWEEP)
    return ticket


def sweep(limit: int) -> None:
    """Remove expired tickets, at most ``limit``."""
    old = _tickets().filter(expires_at__lt=timezone.now()).order_by("expires_at")
    _tickets().filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()


def _tickets() -> QuerySet[Ticket]:
    # Where they are written: a replica may not have one yet.
    return Ticket.objects.using(log.database())


def redeem(ticket: str) -> Viewer:
    """Spend a ticket and return whose it was. Of those who try it, in any process, one succeeds.

    Raises ``Refused`` for one that is unknown, spent or expired, or whose owner may not come in now.
    """
    digest = _digest(ticket)
    found = _tickets().filter(digest=digest, expires_at__gt=timezone.now()).first()
    # The database decides who deletes the row, and says so by the count.
    if found is None or not _tickets().filter(digest=digest).delete()[0]:
        raise Refused(INVALID_TICKET)
    return _owner(found)


def _owner(ticket: Ticket) -> Viewer:
    credential = msgspec.convert(ticket.credential, Credential)
    if ticket.expires_with is not None and ticket.expires_with <= time.time():
        raise Refused(TOKEN_EXPIRED)
    if credential.kind == tokens.KIND:
        tokens.check_revocation(ticket.user_id, credential.issued_at)
    elif not sessions.alive([credential.session]):
        raise Refused(REVOKED)
    user = get_user_model()._default_manager.filter(pk=ticket.user_id).first()
    if user is None or not getattr(user, "is_active", True):
        raise Refused(USER_INACTIVE)
    if fingerprint(user) != credential.password:
        raise Refused(REVOKED)
    return viewer_of(user, credential, ticket.expires_with)


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()
