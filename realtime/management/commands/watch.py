"""``manage.py watch``: follow tasks from a shell, and know how they ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from realtime.client.errors import ClientError, Overdue
from realtime.client.events import Event
from realtime.events import Viewer
from realtime.management.people import find_user
from realtime.terminal.follow import follow
from realtime.terminal.lines import JsonLines, Lines
from realtime.terminal.tally import INTERRUPTED, OVERDUE, Tally
from realtime.topics import MINE, TASKS, Subscriptions

#: The variable with the access token for ``--url``: arguments can be read by everybody on the machine.
TOKEN = "WATCH_TOKEN"  # noqa: S105
#: Seconds between two looks at the log, at least: each asks the database.
SHORTEST = 0.01
BARS, REMOTE = "realtime.terminal.bars.Bars", "realtime.client.sync.SyncClient"


class Command(BaseCommand):
    """Reads the log of this site's own database; with ``--url``, a site elsewhere, with its token."""

    help = "Watch tasks: bars on a terminal, lines elsewhere. Named tasks are watched until all have ended."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to watch, how to show it and when to end."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("task_ids", nargs="*", default=[], metavar="id", help="tasks, by their id")
        what.add_argument("--mine", metavar="USER", help="the tasks of a user, by name or id")
        what.add_argument("--all", action="store_true", help="all tasks")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--json", action="store_true", help="one JSON object for each event")
        how.add_argument("--plain", action="store_true", help="lines, also on a terminal")
        parser.add_argument(
            "--exit-status",
            action="store_true",
            help="end when no task is at work any more; 0: all completed, 1: one failed, "
            "2: one was cancelled, 3: one is gone",
        )
        parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up then, with status 124")
        parser.add_argument(
            "--interval", type=float, default=0.5, metavar="SECONDS", help="between two looks"
        )
        parser.add_argument("--url", help=f"watch the site there, with the access token in {TOKEN}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show events until there is no reason to any more; the exit status says how it ended."""
        ids = _ids(options["task_ids"])
        if not (ids or options["mine"] or options["all"] or options["url"]):
            raise CommandError("Say what to watch: ids, --mine USER or --all.")
        if options["url"] and options["mine"]:
            raise CommandError("With --url the tasks are those of the token's user: leave --mine out.")
        if options["interval"] < SHORTEST:
            raise CommandError(f"--interval is {SHORTEST} seconds or more.")
        tally = Tally(ids)
        until_over = bool(ids) or options["exit_status"]
        try:
            with _ending_in_order(), self._display(options) as display:
                for event in self._events(ids, options):
                    if tally.take(event) or options["json"]:
                        display.show(event)
                    if until_over and tally.over:
                        break
        except Overdue as error:
            self.stderr.write(error.message)
            raise SystemExit(OVERDUE) from None
        except ClientError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read has gone, as in `| head`: nothing is to be said, and Python must not say so either.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
            return
        if options["exit_status"] and tally.status:
            raise SystemExit(tally.status)

    def _display(self, options: dict[str, Any]) -> Any:
        if options["json"]:
            return JsonLines(self._write)
        if not options["plain"] and self.stdout.isatty():
            try:
                # By name: who has no rich reads lines.
                return import_string(BARS)()
            except ImportError:
                self.stderr.write("For progress bars: pip install rich")
        return Lines(self._write)

    def _write(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _events(self, ids: list[str], options: dict[str, Any]) -> Iterator[Event]:
        if options["url"]:
            yield from self._elsewhere(ids, options)
            return
        if options["mine"]:
            wanted, viewer = Subscriptions((), [MINE]), Viewer(str(find_user(options["mine"]).pk))
        else:
            wanted = Subscriptions(ids, [TASKS] if options["all"] else ())
            viewer = Viewer("", view_all=True)
        yield from follow(wanted, viewer, options["interval"], options["timeout"])

    def _elsewhere(self, ids: list[str], options: dict[str, Any]) -> Iterator[Event]:
        token = os.environ.get(TOKEN)
        if not token:
            raise CommandError(f"--url needs an access token in the environment: {TOKEN}.")
        topics = [TASKS] if options["all"] else [] if ids else [MINE]
        try:
            remote = import_string(REMOTE)(options["url"], token=token)
        except ValueError as error:
            raise CommandError(str(error)) from None
        with remote as client:
            yield from client.watch(*ids, topics=topics, timeout=options["timeout"])


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: with its cursor shown again, and its connection closed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set what a signal does
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ids(given: list[str]) -> list[str]:
    try:
        return list(dict.fromkeys(str(uuid.UUID(task_id)) for task_id in given))
    except ValueError:
        raise CommandError("The id of a task is a UUID.") from None
