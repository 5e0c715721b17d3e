"""Reads the log, the rows and the journal from where they are, in the words of the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from realtime.events import FINAL
from tests.faults.checker import Change, Fact
from tests.faults.history import NUMBERS, Names, digest

_EVENTS = (
    "SELECT position, kind, task_id, owner, previous_owner, version, data FROM realtime_event"
    " WHERE position > %s ORDER BY position"
)
_HEAD = "SELECT position, floor FROM realtime_loghead"
_UNSETTLED = (
    "SELECT (SELECT count(*) FROM realtime_event WHERE position IS NULL)"
    " + (SELECT count(*) FROM realtime_task WHERE lease_expires_at IS NOT NULL)"
)
_ROWS = """
from realtime.models.public import public_data
from tests.faults.history import digest
[(str(t.pk), str(t.owner_id or ''), t.version, digest(public_data(t))) for t in Task.objects.all()]
"""


class Archive:
    """A reader of the cluster's database; its methods block."""

    def __init__(self, url: str, names: Names) -> None:
        self._url = url
        self.names = names
        #: Tasks that are not finished, with their owners.
        self.active: dict[str, str] = {}

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection of its own; `psycopg.OperationalError` while the server is away."""
        return psycopg.connect(self._url, connect_timeout=5, autocommit=True)

    def head(self) -> tuple[int, int]:
        """The log's floor and its last position."""
        with self.connect() as connection:
            position, floor = connection.execute(_HEAD).fetchall()[0]
            return floor, position

    def unsettled(self) -> int:
        """How many events still come by themselves: those without a position, and leases of the dead."""
        with self.connect() as connection:
            return int(connection.execute(_UNSETTLED).fetchall()[0][0])

    def events(self, connection: psycopg.Connection[Any], after: int) -> list[tuple[Any, ...]]:
        """The rows of the log after a position."""
        return connection.execute(_EVENTS, [after]).fetchall()

    def fact(self, row: tuple[Any, ...]) -> Fact:
        """An event in the words of the judge."""
        position, kind, task_id, owner, previous, version, data = row
        number = NUMBERS.get(kind, -1)
        if kind.startswith("broadcast"):
            audience = data.get("audience") or {}
            users = frozenset(map(str, audience["users"])) if audience.get("kind") == "users" else None
            task = self.names[data["broadcast_id"]]
            return Fact(position, number, task, owner, previous, 0, 0, users)
        told = digest(data) if kind == "task_update" else 0
        return Fact(position, number, self.names[task_id], owner, previous, version, told)

    def follow(self, row: tuple[Any, ...]) -> Fact:
        """Take a new event of the log, and keep up with which tasks are active."""
        _, kind, task_id, owner, _, _, data = row
        if kind == "task_update" and data["status"] not in FINAL:
            self.active[task_id] = owner
        elif task_id:
            self.active.pop(task_id, None)
        return self.fact(row)

    def journal(self, text: str) -> Iterator[Change]:
        """What the workers say that they have committed, line by line."""
        for line in text.splitlines():
            task_id, version, told = line.split()
            yield Change(self.names[task_id], int(version), int(told))

    def confirmed(self, data: Mapping[str, Any]) -> Change:
        """A change whose outcome the API has answered, which tells more of a task than its events do."""
        return Change(self.names[data["task_id"]], data["version"], None)

    def versions(self, rows: Mapping[str, tuple[str, int, int]]) -> dict[int, int]:
        """The versions of the rows, by the numbers of their tasks."""
        return {self.names[task_id]: version for task_id, (_, version, _) in rows.items()}


def read_rows(remote: Any) -> dict[str, tuple[str, int, int]]:
    """All tasks: owner, version, digest of what everybody may know."""
    return {task_id: (owner, version, told) for task_id, owner, version, told in remote.run(_ROWS)}
