"""The simulated site: hubs over one real log, people who write tasks, and clients who watch."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from realtime import log, publisher
from realtime.events import LogEvent, Viewer
from realtime.exceptions import RealtimeError
from realtime.hub import Hub
from realtime.models import Event, LogHead, Task, TaskLog
from realtime.models.public import public_data
from realtime.testing import FaultyLayer, default_layer
from tests.faults.simulation import SimulatedLoop
from tests.model_client import Client

#: What can be done to a task, by name.
CHANGES: dict[str, Callable[[Task, Any], object]] = {
    "start": lambda task, owner: task.start(),
    "report": lambda task, owner: task.report(min(100, task.progress + 1)),
    "complete": lambda task, owner: task.complete(result="x" * 600),
    "fail": lambda task, owner: task.fail("no"),
    "cancel": lambda task, owner: task.cancel(),
    "rename": lambda task, owner: rename(task, f"{task.name}'"),
    "give": lambda task, owner: give(task, owner),
    "log": lambda task, owner: task.log("a line"),
}


def rename(task: Task, name: str) -> None:
    """Save a task under another name."""
    task.name = name
    task.save()


def give(task: Task, owner: Any) -> None:
    """Give a task to somebody else, or to nobody."""
    task.owner = owner
    task.save()


class World:
    """Everything of one schedule; the database is emptied for it, users excepted."""

    def __init__(self, engine: str, viewers: list[Viewer], hubs: int, smooth: bool) -> None:
        self.engine = engine
        self.loop = SimulatedLoop()
        self.layer = FaultyLayer()
        self.layer.smooth = smooth
        self.viewers = viewers
        self.hubs: list[Hub] = []
        self.clients: list[Client] = []
        self.tasks: list[str] = []
        self.held: dict[str, tuple[ThreadPoolExecutor, Any]] = {}
        #: Every event that ever had a position, pruned or not.
        self.log: dict[int, LogEvent] = {}
        self._numbers = itertools.count(1)
        for model in (Event, LogHead, TaskLog, Task):
            model._base_manager.using(engine).all()._raw_delete(engine)
        log.start()
        self._default = default_layer(self.layer)
        self._default.__enter__()
        publisher.settle_on(self.loop)
        for _ in range(hubs):
            self.start_hub()

    def close(self) -> None:
        """End everything that was started."""
        for name in list(self.held):
            self.release(name, commit=False)
        for client in self.clients:
            client.cut()
        for hub in self.hubs:
            self.loop.run_until_complete(hub.stop())
        self.loop.run_for(1)
        publisher.settle_on(None)
        self._default.__exit__(None, None, None)
        self.loop.close()

    # -- processes ----------------------------------------------------------------------------

    def start_hub(self) -> Hub:
        """Start one more process."""
        hub = Hub(channel_layer=self.layer)
        self.hubs.append(hub)
        self.loop.run_until_complete(hub.start())
        return hub

    def restart_hub(self, number: int) -> None:
        """End a process, which cuts its clients, and start another in its place."""
        old = self.hubs.pop(number)
        for client in self.clients:
            if client.stream is not None and client.stream.hub is old:
                client.cut()
        self.loop.run_until_complete(old.stop())
        self.start_hub()

    def add_client(self, viewer: Viewer) -> Client:
        """Add a client; it has still to connect."""
        client = Client(self.loop, viewer)
        self.clients.append(client)
        return client

    # -- writers ------------------------------------------------------------------------------

    @contextmanager
    def way(self, how: str) -> Iterator[None]:
        """Write in autocommit, inside a transaction, or in a process that dies after its commit."""
        if how == "alone":
            yield
            return
        with transaction.atomic(using=self.engine):
            yield
            if how == "crash":
                connections[self.engine].run_on_commit.clear()

    def create(self, owner: Any, how: str) -> None:
        """Create a task."""
        task_id = uuid.UUID(int=next(self._numbers))
        with self.way(how):
            Task.objects.create(pk=task_id, name="task", owner=owner)
        self.tasks.append(str(task_id))

    def change(self, number: int, what: str, owner: Any, how: str) -> None:
        """Change a task; what its status does not allow changes nothing."""
        task_id = self.tasks[number % len(self.tasks)]
        if task_id not in self.held:
            with self.way(how):
                self._do(task_id, what, owner)

    def _do(self, task_id: str, what: str, owner: Any) -> None:
        with suppress(Task.DoesNotExist, RealtimeError):
            CHANGES[what](Task.objects.get(pk=task_id), owner)

    def delete(self, number: int, how: str) -> None:
        """Delete a task."""
        task_id = self.tasks[number % len(self.tasks)]
        if task_id not in self.held:
            with self.way(how):
                Task.objects.filter(pk=task_id).delete()

    def hold(self, number: int, what: str, owner: Any) -> None:
        """Change a task in a second process that does not commit yet."""
        task_id = self.tasks[number % len(self.tasks)]
        if task_id in self.held:
            return
        thread = ThreadPoolExecutor(1)
        block = transaction.atomic(using=self.engine)
        thread.submit(block.__enter__).result()
        self.held[task_id] = (thread, block)
        thread.submit(self._do, task_id, what, owner).result()

    def release(self, task_id: str, *, commit: bool) -> None:
        """Let the second process commit, or roll back."""
        thread, block = self.held.pop(task_id)

        def end() -> None:
            transaction.set_rollback(not commit, using=self.engine)
            block.__exit__(None, None, None)
            connections.close_all()

        thread.submit(end).result()
        thread.shutdown()

    def append(self, kind: str) -> None:
        """Append an event that is no task's: a notice to everybody, or an internal one."""
        data = {"broadcast_id": str(next(self._numbers)), "message": {"title": "news"}}
        log.append([Event(kind=kind, data=data, created_at=timezone.now())])

    def prune(self, keep: int) -> None:
        """Delete the log but for its last ``keep`` events."""
        self.remember()
        log.prune(datetime(2000, 1, 1, tzinfo=UTC), keep)

    def rebase(self) -> None:
        """Do what the operator does after a restore."""
        self.remember()
        log.rebase()

    def remember(self) -> None:
        """Copy what the log has gained."""
        last = max(self.log, default=0)
        rows = Event.objects.filter(position__gt=last).order_by("position")
        self.log.update((row.position, row.as_log_event()) for row in rows)

    # -- the end ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Heal the layer, commit what is open, let everybody come back, read, and become quiet."""
        self.loop.failures, self.loop.delays = 0, itertools.repeat(0.0)
        for task_id in list(self.held):
            self.release(task_id, commit=True)
        for number, link in enumerate(self.layer.links.values()):
            link.smooth = True
            if number % 2:
                link.lose()
            while link.waiting:
                link.deliver(-1)
        # What failed before is told only now to those who did not read: they come back once more.
        for _ in range(3):
            self.loop.run_for(2.5)
            for number, client in enumerate(self.clients):
                if not client.connected:
                    client.connect(self.hubs[number % len(self.hubs)])
                client.read(1_000_000)
        self.loop.run_for(3)
        for client in self.clients:
            if missing := client.wants - client.view.task_ids - client.view.topics:
                client.subscribe(missing)
        self.loop.run_for(3)
        self.remember()

    def verify(self) -> None:
        """Raise AssertionError unless every promise was kept."""
        head = log.read_head()
        assert head is not None
        assert not log.has_pending(), "an orphan was left behind"
        for hub in self.hubs:
            assert hub.position == head.position
        rows = [public_data(task) for task in Task.objects.all()]
        for client in self.clients:
            client.account.verify(self.log, head.floor)
            self._verify_rows(client, {row["task_id"]: row for row in rows})
            assert client.answered, "a message was never answered"
            if client.account.acknowledged:
                assert client.view.cursor == head.position, "the cursor of a quiet client grows old"

    @staticmethod
    def _verify_rows(client: Client, rows: dict[str, dict[str, Any]]) -> None:
        view, viewer = client.view, client.viewer

        def covers(row: dict[str, Any]) -> bool:
            mine = row["owner"] == viewer.user_id
            if "tasks" in view.topics or ("mine" in view.topics and mine):
                return True
            return row["task_id"] in view.task_ids and (mine or viewer.view_all)

        expected = {task_id: row for task_id, row in rows.items() if covers(row)}
        if client.truncated:
            # It was told that its snapshot is not the whole; what it holds is true all the same.
            expected = {task_id: row for task_id, row in expected.items() if task_id in view.rows}
        assert view.rows == expected
        assert client.wants <= view.task_ids | view.topics, "a subscription was not served"
