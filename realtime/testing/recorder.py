"""What the code under test has told: the events it wrote, whether its transaction has committed or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.db.models import Max, QuerySet

from realtime import log
from realtime.events import AUDIENCE_KINDS, BROADCAST_KINDS, INTERNAL_KINDS, TOPIC_EVENT
from realtime.models import Event


class Told(NamedTuple):
    """One event, in short.

    ``kind`` is that of the frame which clients receive: ``task_update``, ``task_deleted``, ``task_log``,
    ``broadcast``, ``broadcast_retracted`` or ``topic_event``. ``data`` is what that frame tells: a task's
    public fields, a line, a notice, or what was published. ``event`` is the word of a topic event. ``owner``
    and ``previous_owner`` are user ids as text, "" for nobody; ``audience`` is None for everybody.
    """

    kind: str
    task_id: str = ""
    topic: str = ""
    event: str = ""
    data: Mapping[str, Any] = {}
    owner: str = ""
    previous_owner: str = ""
    audience: Mapping[str, Any] | None = None


class Recorder:
    """The events of the log since this was made, in the order in which they were written.

    They are read from the database at each use, through this thread's connection: what a transaction has
    written shows before it commits, and no more when it is rolled back. From async code, call it in
    ``sync_to_async``. Clients see no internal events, and neither does this.
    """

    def __init__(self) -> None:
        self._using = log.database()
        self._after = 0
        self.clear()

    def clear(self) -> None:
        """Forget what was told until now."""
        self._after = self.rows().aggregate(last=Max("pk"))["last"] or self._after

    def of(self, *, task: Any = None, kind: str | None = None, topic: str | None = None) -> list[Told]:
        """Return the events that match every filter given: a task (or its id), a kind, a topic."""
        rows = self.rows()
        if task is not None:
            rows = rows.filter(task_id=str(getattr(task, "pk", task)))
        if kind is not None:
            rows = rows.filter(kind=kind)
        if topic is not None:
            rows = rows.filter(topic=topic)
        return [told_of(row) for row in rows]

    def rows(self) -> QuerySet[Event]:
        """Return the events as rows of the log, in the order in which they were written."""
        rows = Event.objects.using(self._using).filter(pk__gt=self._after)
        return rows.exclude(kind__in=INTERNAL_KINDS).order_by("pk")

    def __iter__(self) -> Iterator[Told]:
        return iter(self.of())

    def __len__(self) -> int:
        return self.rows().count()

    def __repr__(self) -> str:
        """Say what was told, for the message of a failed assertion."""
        return "\n".join(["events:", *(f"  {told}" for told in self)]) if self else "no events"


def told_of(row: Event) -> Told:
    """Return a row of the log in short."""
    data, event = row.data, ""
    if row.kind == TOPIC_EVENT:
        event, data = data.get("event", ""), data.get("data", {})
    elif row.kind in BROADCAST_KINDS:
        data = {"broadcast_id": data.get("broadcast_id"), **data.get("message", {})}
    audience = row.data.get("audience") if row.kind in AUDIENCE_KINDS else None
    return Told(
        row.kind, row.task_id, row.topic or "", event, data, row.owner, row.previous_owner, audience or None
    )
