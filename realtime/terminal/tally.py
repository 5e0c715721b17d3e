"""Which of the watched tasks still work, and how the others have ended. Pure."""

from __future__ import annotations

from collections.abc import Collection

from realtime.client.events import (
    Event,
    Reset,
    Subscribed,
    TaskDeleted,
    TaskRemoved,
    TaskUpdate,
    Unsubscribed,
)
from realtime.events import CANCELLED, COMPLETED, FAILED

#: Exit statuses, the worst first after 0: of several tasks the worst counts.
STATUS = {COMPLETED: 0, FAILED: 1, CANCELLED: 2}
GONE = 3
#: As of ``timeout(1)``, and of a shell whose program was interrupted.
OVERDUE, INTERRUPTED = 124, 130


class Tally:
    """Counts by the events; ``task_ids`` are those that must end, or none where topics are watched."""

    def __init__(self, task_ids: Collection[str] = ()) -> None:
        self._named = bool(task_ids)
        self.active: set[str] = set(task_ids)
        #: 0 while nothing has gone wrong; see :data:`STATUS` and :data:`GONE`.
        self.status = 0
        self._complete = False
        self._listed: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether none of the watched tasks can change any more."""
        return self._complete and not self.active

    def take(self, event: Event) -> bool:
        """Count an event; tell whether it is of interest: not the row of what had ended before we came."""
        match event:
            case TaskUpdate():
                self._listed.add(event.task_id) if event.snapshot else None
                if not event.task.final:
                    self.active.add(event.task_id)
                elif event.task_id in self.active or not event.snapshot:
                    self._ends(event.task_id, STATUS[event.task.status])
                else:
                    return False
            case TaskDeleted() | TaskRemoved():
                self._ends(event.task_id, GONE)
            case Unsubscribed():
                for task_id in event.task_ids:
                    self._ends(task_id, GONE)
            case Reset():
                self._complete = False
            case Subscribed():
                # What a snapshot does not name is there no more.
                for task_id in [] if event.truncated else self.active - self._listed:
                    self._ends(task_id, GONE)
                self._listed.clear()
                self._complete = True
        return True

    def _ends(self, task_id: str, status: int) -> None:
        if task_id in self.active or not self._named:
            self.active.discard(task_id)
            self.status = min(filter(None, (self.status, status)), default=0)
