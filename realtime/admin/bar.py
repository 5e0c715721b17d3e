"""What the bar of a live page is told: as of when it is, and where its script finds the site's doors."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from realtime.events import rfc3339
from realtime.templatetags.realtime import addresses


def told() -> dict[str, Any]:
    """Return the context of ``admin/realtime/bar.html``, as of now."""
    return {"at": rfc3339(timezone.now()), "addresses": addresses()}
