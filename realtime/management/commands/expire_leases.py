"""``manage.py expire_leases``: mark the tasks of dead workers where no server process runs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from realtime import leases


class Command(BaseCommand):
    """Does once what every server process does all the time; run it from a timer, once a minute."""

    help = "Mark running tasks as failed whose worker died. Server processes do this by themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        """Watch the leases that have ended for half of LEASE_SECONDS, and say how many tasks were marked."""
        self.stdout.write(f"{leases.expire()} tasks marked as failed.")
