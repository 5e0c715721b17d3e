"""What became of a broadcast, in words: its level, its audience, its state, and whom it reached."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator

from realtime import log
from realtime.admin.display import moment
from realtime.admin.reach import count, estimate
from realtime.events import EVERYONE, USERS, rfc3339
from realtime.models import Broadcast, Reach
from realtime.templatetags.realtime import LEVELS

SCHEDULED, SENT, RETRACTED, OVER, NEVER = "scheduled", "sent", "retracted", "over", "never sent"
#: What can still be taken back.
STANDING = (SCHEDULED, SENT)
#: The order of the list of those in a state, which is that of the index they are found by.
ORDERS = {SCHEDULED: ("starts_at",), SENT: ("-ends_at",)}
#: The icon of each state: its colour alone would tell some people nothing.
SYMBOLS = {SCHEDULED: "waiting", SENT: "running", RETRACTED: "cancelled", OVER: "done", NEVER: "failed"}
ICONS = "realtime/icons.svg"
#: Users whom a page names.
NAMED = 20
#: How long it is expected that processes tell whom they reached.
TELLING = timedelta(minutes=1)


def state(broadcast: Broadcast) -> str:
    """Return where it stands in its life."""
    if broadcast.retracted_at is not None:
        return RETRACTED
    if broadcast.ends_at <= timezone.now():
        return OVER if broadcast.published_at else NEVER
    return SENT if broadcast.published_at else SCHEDULED


def state_badge(broadcast: Broadcast) -> str:
    """Return the state as an icon and a word, and who took it back."""
    now = state(broadcast)
    by = f" by {broadcast.retracted_by}" if now == RETRACTED and broadcast.retracted_by else ""
    return _badge("state", now, SYMBOLS[now], f"{now.capitalize()}{by}")


def level_badge(level: str) -> str:
    """Return the level as an icon and a word."""
    return _badge("level", level, level, LEVELS[level][0] if level in LEVELS else level)


def _badge(of: str, value: str, symbol: str, word: str) -> str:
    return format_html(
        '<span class="broadcast-badge" data-{}="{}">'
        '<svg aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg> {}</span>',
        of,
        value,
        static(ICONS),
        symbol,
        word,
    )


def to_whom(audience: dict[str, Any]) -> str:
    """Return an audience in words."""
    match audience.get("kind", EVERYONE):
        case "everyone":
            return "Everyone"
        case "staff":
            return "Staff"
        case "group":
            return f"Group {audience.get('name') or audience.get('group')}"
    return count(len(audience.get("users", ())), "user")


def names(audience: dict[str, Any]) -> str:
    """Return who is named, as far as a page has room; "" for an audience that names nobody."""
    if audience.get("kind") != USERS:
        return ""
    ids = audience.get("users", [])
    model = get_user_model()
    found = model._default_manager.in_bulk(ids[:NAMED])
    known = sorted(str(user.get_username()) for user in found.values())
    rest = len(ids) - len(known)
    return ", ".join([*known, f"{rest:,} more"] if rest else known)


def reached(broadcast: Broadcast) -> str:
    """Return a cell of the list: how many connections it reached."""
    if broadcast.published_at is None:
        return "–"
    return f"{broadcast.recipient_count or 0:,}{'' if broadcast.complete else ', incomplete'}"


def progress(broadcast: Broadcast) -> dict[str, Any]:
    """Return what the page of a broadcast tells of it, as of now: read again and again while it goes out."""
    using, now = log.database(), timezone.now()
    found: dict[str, Any] = {
        "at": rfc3339(now),
        "broadcast": broadcast,
        "state": state(broadcast),
        "state_badge": state_badge(broadcast),
        "level_badge": level_badge(broadcast.level),
        "settled": True,
        "starts": moment(broadcast.starts_at),
        "ends": moment(broadcast.ends_at),
        "retracted": moment(broadcast.retracted_at),
    }
    if broadcast.published_at is None:
        if found["state"] == SCHEDULED:
            would = estimate(broadcast.audience)
            found |= {"reached": f"It would reach {would.text} now.", "meaning": would.note}
        return found
    total, reach = broadcast.recipient_count or 0, count(broadcast.recipient_count or 0, "connection")
    nodes = count(len(broadcast.nodes), "server process", "server processes")
    if broadcast.complete:
        told = f"Complete: {nodes} {'was' if len(broadcast.nodes) == 1 else 'were'} alive, and all have told."
        if not broadcast.nodes:
            told = "Complete: nobody was connected."
        return found | {"reached": f"Reached {reach}.", "meaning": told}
    reports = Reach.objects.using(using).filter(broadcast_id=broadcast.pk, node_id__in=broadcast.nodes)
    told = f"{reports.count():,} of {nodes} told how many of their connections got it"
    if now - broadcast.published_at > TELLING:
        meaning = f"Incomplete: {told}. The true number may be higher."
        return found | {"reached": f"Reached {reach}.", "meaning": meaning}
    about = max(total, estimate(broadcast.audience, broadcast.published_at).connections)
    return found | {
        "settled": False,
        "reached": f"Reached {total:,} of about {count(about, 'connection')}.",
        "meaning": f"Incomplete so far: {told}.",
    }


def forecast(broadcasts: QuerySet[Broadcast]) -> dict[str, Any]:
    """Return what taking these back would do: ``done`` and ``skipped`` with their words, and the button."""
    done: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    words = {
        SCHEDULED: "will not be sent",
        SENT: "disappears from every page that shows it",
        RETRACTED: "retracted before",
        OVER: "over: nobody sees it any more",
        NEVER: "was never sent",
    }
    for one in broadcasts:
        now = state(one)
        url = reverse("admin:realtime_broadcast_change", args=[one.pk])
        entry = {"id": one.pk, "name": Truncator(one).chars(120), "what": words[now], "url": url}
        (done if now in STANDING else skipped).append(entry)
    return {
        "action": "retract_selected",
        "confirm": f"Retract {count(len(done), 'broadcast')}",
        "done": done,
        "skipped": skipped,
        "ids": [entry["id"] for entry in done],
    }


class StateFilter(admin.SimpleListFilter):
    """What can still be taken back, each by an index of its own."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the states that have an index; the others have none and are no choice."""
        return [(SCHEDULED, "Scheduled"), (SENT, "Shown now")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        """Return the rows that are in the state now."""
        now = timezone.now()
        match self.value():
            case "scheduled":
                return queryset.filter(published_at=None, retracted_at=None, ends_at__gt=now)
            case "sent":
                return queryset.filter(published_at__isnull=False, retracted_at=None, ends_at__gt=now)
        return queryset
