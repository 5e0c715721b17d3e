"""A worker of the cluster: it changes tasks in every way there is, and keeps a journal of what it committed.

``python -m tests.faults.worker <orders> <journal> <seed> <owner ids…>``. A line of the journal is written
when a commit has returned: ``task_id version digest``. What the journal holds, the log must hold.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

django.setup()

from django.db import Error, connections  # noqa: E402
from psycopg_pool import PoolTimeout  # noqa: E402

from realtime import publisher  # noqa: E402
from realtime.exceptions import RealtimeError  # noqa: E402
from realtime.log import writing  # noqa: E402
from realtime.models import Task  # noqa: E402
from tests.faults.deeds import Deeds  # noqa: E402
from tests.faults.orders import Orders  # noqa: E402

#: Changes in a burst, and how likely one is.
BURST, CHANCE = 25, 0.01


class Worker:
    """Does one thing after the other until it is told to stop, or dies."""

    def __init__(self, orders: Orders, journal: str, seed: int, owners: list[int]) -> None:
        self._orders = orders
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._deeds = Deeds(owners, seed, self._write)
        self._random = random.Random(seed)

    def run(self) -> None:
        """Change tasks until told to stop."""
        burst = 0
        while not (orders := self._orders.read()).get("stop"):
            self._try(partial(self._crash, orders["crash"]) if "crash" in orders else self._deeds.step)
            burst = burst - 1 if burst else BURST * (self._random.random() < CHANCE)
            if not burst:
                time.sleep(min(self._random.expovariate(orders.get("pace", 5.0)), 2.0))
        self._try(self._deeds.end)

    def _try(self, deed: Callable[[], None]) -> None:
        while True:
            try:
                deed()
                return
            except (RealtimeError, Task.DoesNotExist):
                self._deeds.drop()
                return
            except (Error, PoolTimeout):
                connections.close_all()
                time.sleep(0.05)
                deed = self._deeds.look_again

    def _write(self, task_id: str, version: int, told: int) -> None:
        os.write(self._journal, f"{task_id} {version} {told}\n".encode())

    def _crash(self, where: str) -> None:
        """Die within the next commit, before its events are sequenced, or before they are published."""
        deeds = self._deeds

        def die(otherwise: Callable[..., Any]) -> Callable[..., Any]:
            def dying(*args: Any, **options: Any) -> Any:
                if threading.current_thread() is not threading.main_thread() or not deeds.touched:
                    return otherwise(*args, **options)
                deeds.note(deeds.touched)
                os.kill(os.getpid(), signal.SIGKILL)
                raise AssertionError("still alive")

            return dying

        if where == "sequence":
            writing.sequence = die(writing.sequence)
        else:
            publisher.publish = die(publisher.publish)
        while True:
            deeds.touched.clear()
            if len(deeds.active) < 3:
                deeds.create()
            elif where == "sequence" or self._random.random() < 0.5:
                deeds.save_two()
            else:
                deeds.save()


def main(orders: str, journal: str, seed: str, *owners: str) -> None:
    """Work until told to stop, then end in order."""
    Worker(Orders(orders), journal, int(seed), [int(owner) for owner in owners]).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
