"""``manage.py broadcast``: send a notice from a shell or a timer, or take one back."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from realtime import broadcasts
from realtime.depth import DEPTH
from realtime.exceptions import RealtimeError
from realtime.management.people import find_user
from realtime.models.broadcast import LEVELS, TYPES


class Command(BaseCommand):
    """Sends to everyone, unless told otherwise, and says how many connections were reached."""

    help = "Send a notice to the people who are connected, and to those who come while it lasts."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the notice, or the id of one to take back."""
        parser.add_argument("message", nargs="?", help="plain text")
        parser.add_argument("--title", default="")
        parser.add_argument("--type", choices=TYPES, default=TYPES[0])
        parser.add_argument("--level", choices=LEVELS, default=LEVELS[0])
        parser.add_argument("--data", help="any JSON value")
        to = parser.add_mutually_exclusive_group()
        to.add_argument("--staff", action="store_true", help="to staff only")
        to.add_argument("--group", help="to a group, by name or id")
        to.add_argument(
            "--user",
            action="append",
            dest="users",
            metavar="USER",
            help="to a user, by name or id; repeatable",
        )
        parser.add_argument("--starts-at", metavar="TIME", help="RFC 3339, with a time zone")
        parser.add_argument("--ends-at", metavar="TIME", help="an hour after the start if left out")
        parser.add_argument("--key", default="", help="send only once what has this idempotency key")
        parser.add_argument("--retract", metavar="ID", help="take back the notice with this id")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send or retract. Fails with the reason, and sends nothing then."""
        try:
            if options["retract"]:
                self._retract(options["retract"])
            elif options["message"]:
                self._send(options)
            else:
                raise CommandError("Say what to send, or --retract an id.")
        except RealtimeError as error:
            raise CommandError(error.message) from None

    def _send(self, options: dict[str, Any]) -> None:
        sent = broadcasts.send(
            options["message"],
            title=options["title"],
            type=options["type"],
            level=options["level"],
            data=_json(options["data"]),
            audience=_audience(options),
            starts_at=_moment(options["starts_at"]),
            ends_at=_moment(options["ends_at"]),
            idempotency_key=options["key"],
        )
        if sent.published_at is None:
            self.stdout.write(f"{sent.pk}: will be sent at {sent.starts_at.isoformat()}.")
            return
        reached = broadcasts.wait_for_reach(sent)
        rest = "" if reached.complete else ", and a process did not tell in time"
        self.stdout.write(f"{sent.pk}: reached {reached.recipients} connections{rest}.")

    def _retract(self, broadcast_id: str) -> None:
        broadcast = broadcasts.find(broadcast_id)
        if broadcast is None:
            raise CommandError(f"There is no broadcast {broadcast_id}.")
        done = broadcasts.retract(broadcast)
        self.stdout.write(f"{broadcast.pk}: {'retracted' if done else 'was retracted before'}.")


def _audience(options: dict[str, Any]) -> dict[str, Any] | None:
    if options["staff"]:
        return {"kind": "staff"}
    if options["group"]:
        return {"kind": "group", "group": options["group"]}
    if options["users"]:
        return {"kind": "users", "users": [find_user(name).pk for name in options["users"]]}
    return None


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except RecursionError:
        raise CommandError(f"--data is nested deeper than {DEPTH} levels.") from None
    except ValueError as error:
        raise CommandError(f"--data is not JSON: {error}") from None


def _moment(text: str | None) -> Any:
    if text is None:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"Not a time: {text}")
    return moment
