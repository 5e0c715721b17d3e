"""``manage.py realtime_rebase``: for the operator, after the database was restored."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from realtime import log


class Command(BaseCommand):
    """Moves the log to now, so that every client reloads instead of trusting an older cursor."""

    help = "Make every cursor invalid: each client gets one reset and a fresh snapshot."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebase and say where the log goes on."""
        head = log.rebase()
        self.stdout.write(f"The log goes on at {head.position}.")
