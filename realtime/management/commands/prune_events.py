"""``manage.py prune_events``: let old events go, by age and by number, and lines of old tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from realtime import log
from realtime.conf import conf
from realtime.models import lines


class Command(BaseCommand):
    """Deletes a prefix of the event log, and lines of tasks long finished; run it hourly or daily."""

    help = "Delete old events. Clients whose cursor is older get a reset and a fresh snapshot."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the limits, which default to the settings."""
        parser.add_argument("--days", type=float, help="keep events younger than this (RETENTION_DAYS)")
        parser.add_argument("--keep", type=int, help="keep at most so many events (RETENTION_EVENTS)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune and say how many went."""
        days = conf.RETENTION_DAYS if options["days"] is None else options["days"]
        keep = conf.RETENTION_EVENTS if options["keep"] is None else options["keep"]
        if days < 0 or keep < 0:
            raise CommandError("--days and --keep are numbers from 0.")
        before = timezone.now() - timedelta(days=days)
        deleted, forgotten = log.prune(before, keep), lines.prune(before)
        self.stdout.write(f"{deleted} events and {forgotten} lines deleted.")
