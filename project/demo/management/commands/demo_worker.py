"""`manage.py demo_worker`: do what people ask for, and jobs of its own, until told to stop."""

import argparse
import signal
import threading
from itertools import cycle
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from project.demo.jobs import JOBS
from project.demo.worker import Worker

#: So many tasks of those that people ask for are done at a time.
HANDS = 2


def _positive(text: str) -> float:
    if (value := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


class Command(BaseCommand):
    """Runs a `Worker`; SIGINT and SIGTERM end it within a moment and cancel its task."""

    help = "Does real work on the standard library's files and reports it as tasks."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Whose tasks, at what pace, and how many stay."""
        parser.add_argument("--owner", default="demo", help="user name (default: %(default)s)")
        parser.add_argument(
            "--seconds", type=_positive, default=10, help="length of a job (default: %(default)s)"
        )
        parser.add_argument(
            "--keep", type=int, default=20, help="finished tasks that stay (default: %(default)s)"
        )
        parser.add_argument(
            "--once", action="store_true", help="one round only, and nothing that people ask for"
        )
        parser.add_argument("--no-round", action="store_true", help="only what people ask for")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until a signal comes, or for one round."""
        user = get_user_model().objects.filter(username=options["owner"]).first()
        if user is None:
            raise CommandError(f"No user {options['owner']!r}: run manage.py demo_users first.")
        worker = Worker(user, seconds=options["seconds"], keep=options["keep"])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: worker.stop())
        if options["once"]:
            return worker.run(JOBS)
        hands = [threading.Thread(target=worker.serve) for _ in range(HANDS)]
        for hand in hands:
            hand.start()
        if not options["no_round"]:
            worker.run(cycle(JOBS))
        for hand in hands:
            hand.join()
