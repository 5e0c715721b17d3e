"""``manage.py realtime_check``: say plainly what breaks live updates, here and on the way to the public."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from realtime.diagnosis import check
from realtime.diagnosis.findings import ERROR
from realtime.management.people import find_user

VISIT = "realtime.diagnosis.public.Visit"


class Command(BaseCommand):
    """Looks at settings, database and layer; with a URL, opens real streams through that address."""

    help = "Find what a setting, a worker class or a proxy breaks. Exit status 1 when something is wrong."
    # What they would say is part of what this one says, and more.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the public address, and as whom to look."""
        parser.add_argument("url", nargs="?", help="the public address of the site, as https://example.com")
        parser.add_argument(
            "--user",
            help="look as this user, with a token and a session of a minute; else as the active user who may "
            "do least",
        )
        parser.add_argument(
            "--idle",
            action="store_true",
            help="also stay for longer than a heartbeat, to find short timeouts",
        )
        parser.add_argument("--json", action="store_true", help="write the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write what was found, worst first; exit with 1 if there is an error."""
        user = find_user(options["user"]) if options["user"] else None
        visit = _visit(options["url"], options["idle"]) if options["url"] else None
        findings = check.inside()
        if visit is not None and not any(finding.id == "urls_missing" for finding in findings):
            findings += check.outside(visit, user)
        findings.sort(key=lambda finding: finding.level != ERROR)
        wrong = any(finding.level == ERROR for finding in findings)
        if options["json"]:
            answer = {"ok": not wrong, "findings": [finding.as_dict() for finding in findings]}
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            for finding in findings:
                seen = f" ({finding.detail})" if finding.detail else ""
                self.stdout.write(f"{finding.level} {finding.id}: {finding.message}{seen}")
                self.stdout.write(f"    {finding.hint}")
            where = "Inside and through the address" if options["url"] else "Inside"
            count = len(findings)
            self.stdout.write(f"{where}: {count or 'no'} problem{'s' * (count > 1)} found.")
        if wrong:
            raise SystemExit(1)


def _visit(url: str, idle: bool) -> Any:
    """Return a look at an address. Raises ``CommandError`` when that is none, or a package is missing."""
    try:
        # By name: who has neither httpx nor websockets can look from inside.
        return import_string(VISIT)(url, idle)
    except ImportError as error:
        raise CommandError(f"For a URL, install this package with its extra 'client' ({error}).") from None
    except ValueError as error:
        raise CommandError(str(error)) from None
