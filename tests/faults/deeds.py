"""Everything that a worker does to tasks, by every way that writes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from django.db import transaction

from realtime import broadcasts
from realtime.events import FINAL
from realtime.models import Task
from realtime.models.public import public_data
from tests.faults.history import digest

#: Tasks it works on at a time, and finished ones it leaves standing.
ACTIVE, FINISHED = 12, 12
#: Finished tasks of everybody that are left standing.
LEFT = 100


class Undone(Exception):
    """Rolls a transaction back, on purpose."""


class Deeds:
    """A worker's tasks, and what it can do to them; ``write`` takes a line of its journal."""

    def __init__(self, owners: list[int], seed: int, write: Callable[[str, int, int], None]) -> None:
        self.owners = owners
        self.random = random.Random(seed)
        self.write = write
        self.active: list[Task] = []
        self.finished: list[Task] = []
        #: What the change under way touches.
        self.touched: list[Task] = []
        self._shares: dict[Callable[[], None], int] = {
            self.create: 8,
            self.create_many: 2,
            self.save: 20,
            self.report: 25,
            self.save_two: 12,
            self.save_in_savepoints: 6,
            self.take_back: 4,
            self.update_rows: 6,
            self.update_in_bulk: 4,
            self.finish: 14,
            self.ask_to_cancel: 3,
            self.give_away: 6,
            self.retry: 2,
            self.remove: 4,
            self.remove_many: 2,
            self.announce: 3,
            self.change_anothers: 6,
        }

    def step(self) -> None:
        """Do one thing, and note what it committed."""
        deeds, shares = list(self._shares), list(self._shares.values())
        deed = self.create if len(self.active) < 3 else self.random.choices(deeds, shares)[0]
        self.touched.clear()
        deed()
        self.note(self.touched)

    def note(self, tasks: list[Task]) -> None:
        """Write into the journal what these tasks are now."""
        for task in tasks:
            self.write(str(task.pk), task.version, digest(public_data(task)))

    def drop(self) -> None:
        """Let go of the tasks that somebody else has finished or removed."""
        self.active = [task for task in self.active if task not in self.touched]
        self.finished = [task for task in self.finished if task not in self.touched]
        self.touched.clear()

    def look_again(self) -> None:
        """Read the tasks again of which nobody knows whether they were written."""
        for task in list(self.touched):
            if Task.objects.filter(pk=task.pk).exists():
                task.refresh_from_db()
                self.touched.remove(task)
        self.drop()

    def end(self) -> None:
        """Finish what is under way, as a worker does that is told to end."""
        for task in self.active:
            task.fail("The worker was told to end.")

    def _any(self) -> Task:
        task = self.random.choice(self.active)
        self.touched.append(task)
        return task

    def _two(self) -> list[Task]:
        # Always in one order: two workers that lock the same rows must not wait for each other.
        two = sorted(self.random.sample(self.active, 2), key=lambda task: task.pk)
        self.touched += two
        return two

    def _speak(self, task: Task) -> None:
        task.message = f"{self.random.randrange(10**9)}"

    def _new(self) -> Task:
        return Task(name="work", owner_id=self.random.choice(self.owners))

    def create(self) -> None:
        """Create a task, and begin with it or not; it finishes one when it has too many."""
        if len(self.active) >= ACTIVE:
            self.finish()
            return
        task = self._new()
        self.touched.append(task)
        task.save()
        self.note([task])
        self.active.append(task)
        if self.random.random() < 0.9:
            task.start()

    def create_many(self) -> None:
        """Create tasks with one statement."""
        tasks = Task.objects.bulk_create([self._new() for _ in range(3)])
        self.touched += tasks
        self.active += tasks

    def save(self) -> None:
        """Change a field and save: the path on which an event is positioned at once."""
        task = self._any()
        self._speak(task)
        task.save()

    def report(self) -> None:
        """Report progress, as workers do; some of it is written by the timer, later."""
        task = self._any()
        if task.status == "pending":
            task.start()
            self.note([task])
        before = task.version
        task.report(self.random.randrange(100), message=f"{self.random.randrange(10**9)}")
        if task.version == before:
            self.touched.remove(task)

    def save_two(self) -> None:
        """Change two tasks in one transaction: the path on which events wait for the commit."""
        two = self._two()
        with transaction.atomic():
            for task in two:
                self._speak(task)
                task.save()

    def save_in_savepoints(self) -> None:
        """Change two tasks in one transaction, the first one's savepoint is rolled back."""
        first, second = self._two()
        self.touched.remove(first)
        with transaction.atomic():
            try:
                with transaction.atomic():
                    self._speak(first)
                    first.save()
                    raise Undone
            except Undone:
                first.refresh_from_db()
            self._speak(second)
            second.save()

    def take_back(self) -> None:
        """Change tasks and roll it all back: that is no event."""
        two = self._two()
        try:
            with transaction.atomic():
                for task in two:
                    self._speak(task)
                    task.save()
                raise Undone
        except Undone:
            for task in two:
                task.refresh_from_db()
            self.touched.clear()

    def update_rows(self) -> None:
        """Update rows through the manager."""
        self._query(lambda rows: rows.update(phase=f"{self.random.randrange(10**9)}"))

    def update_in_bulk(self) -> None:
        """Update rows in bulk, each to a value of its own."""

        def write(rows: Any) -> None:
            tasks = list(rows)
            for task in tasks:
                self._speak(task)
            Task.objects.bulk_update(tasks, ["message"])

        self._query(write)

    def _query(self, write: Callable[[Any], object]) -> None:
        """Write to some rows, and look at them before the transaction ends: nobody else can yet."""
        two = self._two()
        with transaction.atomic():
            write(Task.objects.filter(pk__in=[task.pk for task in two]))
            for task in two:
                task.refresh_from_db()

    def finish(self) -> None:
        """Complete, fail or cancel a task."""
        task = self._any()
        if task.status == "pending":
            task.start()
            self.note([task])
        how = self.random.randrange(4)
        if how < 2:
            task.complete(result={"rows": self.random.randrange(1000)})
        elif how == 2:
            task.fail("It did not work.")
        else:
            with transaction.atomic():
                task.cancel()
                task.cancel()
        self.active.remove(task)
        self.finished.append(task)

    def ask_to_cancel(self) -> None:
        """Ask a task to stop; a pending one is cancelled by it."""
        self._any().cancel()

    def give_away(self) -> None:
        """Give a task to somebody else, a finished one too."""
        task = self.random.choice(self.active + self.finished)
        self.touched.append(task)
        before = task.version
        task.owner_id = self.random.choice(self.owners)
        task.save()
        if task.version == before:
            self.touched.remove(task)

    def retry(self) -> None:
        """Try a finished task again."""
        if self.finished:
            task = self.random.choice(self.finished)
            self.touched.append(task)
            again = task.retry()
            self.touched[:] = [again]
            self.active.append(again)

    def remove(self) -> None:
        """Delete a task."""
        if len(self.finished) > FINISHED:
            task = self.finished.pop(0)
            pk = task.pk
            task.delete()
            if task.last_row is not None:
                self.write(str(pk), task.last_row.version + 1, 0)

    def remove_many(self) -> None:
        """Delete what is left over, of workers that have died too."""
        old = Task.objects.filter(status__in=FINAL).order_by("-finished_at").values_list("pk", flat=True)
        Task.objects.filter(pk__in=list(old[LEFT : LEFT + 10])).delete()
        left = set(
            Task.objects.filter(pk__in=[task.pk for task in self.finished]).values_list("pk", flat=True)
        )
        self.finished = [task for task in self.finished if task.pk in left]

    def announce(self) -> None:
        """Send a notice to everybody, or to some."""
        audience: Any = "everyone"
        if self.random.random() < 0.5:
            audience = {"kind": "users", "users": self.random.sample(self.owners, 2)}
        broadcasts.send("A notice.", audience=audience)

    def change_anothers(self) -> None:
        """Change a task that another process works on, or has left behind when it died."""
        rows = list(Task.objects.filter(status__in=("pending", "running")).order_by("updated_at")[:20])
        mine = {task.pk for task in self.active}
        others = [task for task in rows if task.pk not in mine]
        if others:
            task = self.random.choice(others)
            self.touched.append(task)
            self._speak(task)
            if self.random.random() < 0.3:
                task.status = "failed"
            task.save()
