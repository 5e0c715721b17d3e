"""What happens when a task has finished: signals for a project's own code, and a mail to its managers.

    from django.dispatch import receiver
    from realtime.notify import task_failed

    @receiver(task_failed)
    def tell_the_team(task, **kwargs): ...

Signals are sent after the commit, once for each task that went from unfinished to finished, in the process
that wrote it: its worker, a web process, or whoever found that the worker had died. Receivers get ``task``,
the row as it was written, not the worker's instance. One that raises is logged, and hinders neither the
others nor the save. A process that is killed right after the commit has sent nothing: the durable word is the
log's.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from functools import partial
from typing import Any

from django.core.mail import mail_managers
from django.db import connections, transaction
from django.dispatch import Signal, receiver

from realtime.conf import conf
from realtime.events import FAILED

logger = logging.getLogger("realtime.notify")

#: Sent for every task that has finished, however.
task_finished = Signal()
#: Sent for a task that has failed, after ``task_finished``.
task_failed = Signal()

#: Mails per hour and process; what fails beyond that is told in the next one.
MAILS, HOUR = 10, 3600.0
#: Failures that one mail tells each with a line; the rest it counts.
LINES = 20
#: Seconds that the end of a process waits for a mail.
FAREWELL = 10.0


def after_commit(task: Any, using: str) -> None:
    """Send the signals for a task that has just been finished, when the transaction has been committed."""
    transaction.on_commit(partial(_send, task), using=using, robust=True)


def _send(task: Any) -> None:
    for signal in (task_finished, task_failed) if task.status == FAILED else (task_finished,):
        signal.send_robust(sender=type(task), task=task)


@receiver(task_failed, dispatch_uid="realtime.mail")
def mail_failure(task: Any, **kwargs: Any) -> None:
    """Let the managers know, where the site wants that (``MAIL_ON_FAILURE``)."""
    if conf.MAIL_ON_FAILURE:
        name = " ".join(task.name.split())
        _mailer.tell(name[:100], f"{name}\n    {task.pk}\n    {task.error[:1000]}")


class Mailer:
    """Sends mails from a thread of its own: a mail server that hangs must keep no worker waiting.

    The thread ends when nothing is left to tell. It touches no database but what a mail backend may use.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[tuple[str, str]] = deque()
        self._uncounted = 0
        self._sent: deque[float] = deque(maxlen=MAILS)
        self._thread: threading.Thread | None = None

    def tell(self, name: str, text: str) -> None:
        """Mail this failure soon, with the others that wait."""
        with self._condition:
            if len(self._waiting) < LINES:
                self._waiting.append((name, text))
            else:
                self._uncounted += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="realtime-mail", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Wait for the mail that is due now; at the end of the process."""
        with self._condition:
            thread = self._thread if self._pause() <= 0 else None
        if thread is not None:
            thread.join(FAREWELL)

    def _pause(self) -> float:
        """Return the seconds until the next mail may be sent."""
        full = len(self._sent) == MAILS
        return self._sent[0] + HOUR - time.monotonic() if full else 0.0

    def _take(self) -> tuple[list[tuple[str, str]], int]:
        """Wait until a mail may be sent, and return what it tells; nothing when nothing is left."""
        with self._condition:
            while self._waiting and (pause := self._pause()) > 0:
                self._condition.wait(pause)
            told, rest = list(self._waiting), self._uncounted
            self._waiting.clear()
            self._uncounted = 0
            if told:
                self._sent.append(time.monotonic())
            else:
                self._thread = None
            return told, rest

    def _run(self) -> None:
        while True:
            told, rest = self._take()
            if not told:
                return
            try:
                _mail(told, rest)
            except Exception:
                logger.exception("A mail about %d failed tasks could not be sent.", len(told) + rest)
            finally:
                connections.close_all()


def _mail(told: list[tuple[str, str]], rest: int) -> None:
    count = len(told) + rest
    subject = f"Task failed: {told[0][0]}" if count == 1 else f"{count} tasks failed"
    parts = [text for _, text in told] + ([f"And {rest} more."] if rest else [])
    mail_managers(subject, "\n\n".join(parts) + "\n")


_mailer = Mailer()
atexit.register(lambda: _mailer.end())


def _fork() -> None:
    """A forked child has neither the thread nor the parent's mails."""
    global _mailer
    _mailer = Mailer()


os.register_at_fork(after_in_child=_fork)
