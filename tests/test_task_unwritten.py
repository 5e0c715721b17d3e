"""An end that the database does not take: the task says what is so, and its work can still be ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections, transaction

from realtime import track, tracked
from realtime.integrations import jobs
from realtime.models import Event, Task, lease
from tests.kit.threads import open_transaction
from tests.reporting import only

pytestmark = pytest.mark.usefixtures("at_once")

#: Statements that make a table refuse a status, as its row is written or only at the COMMIT.
REFUSE = {
    ("sqlite", False): [
        "CREATE TRIGGER refuse BEFORE UPDATE ON realtime_task WHEN NEW.status = '{status}' "
        "BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
    # A foreign key that leads nowhere is found out when all is over.
    ("sqlite", True): [
        "CREATE TRIGGER refuse AFTER UPDATE ON realtime_task WHEN NEW.status = '{status}' "
        "BEGIN INSERT INTO auth_user_groups (user_id, group_id) VALUES (-1, -1); END",
    ],
    ("postgresql", False): [
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refuse BEFORE UPDATE ON realtime_task FOR EACH ROW "
        "WHEN (NEW.status = '{status}') EXECUTE FUNCTION refuse()",
    ],
    ("postgresql", True): [
        "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$ LANGUAGE plpgsql",
        "CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON realtime_task DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (NEW.status = '{status}') EXECUTE FUNCTION refuse()",
    ],
}
ALLOW = {
    "sqlite": ["DROP TRIGGER refuse"],
    "postgresql": ["DROP TRIGGER refuse ON realtime_task", "DROP FUNCTION refuse"],
}


def execute(using: str, statements: list[str]) -> None:
    """Run statements of SQL."""
    with connections[using].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def refusing(using: str, status: str, at_commit: bool) -> Iterator[None]:
    """Let the database take no row with that status."""
    vendor = connections[using].vendor
    execute(using, [statement.format(status=status) for statement in REFUSE[vendor, at_commit]])
    try:
        yield
    finally:
        execute(using, ALLOW[vendor])


@pytest.fixture(params=[False, True], ids=["at-the-write", "at-the-commit"])
def at_commit(request: pytest.FixtureRequest) -> bool:
    """Have the database refuse the statement, or the transaction."""
    return bool(request.param)


def state(task: Task) -> dict[str, Any]:
    """What a task says of itself."""
    return {field.attname: getattr(task, field.attname) for field in task._meta.concrete_fields}


#: What changes a task, and from which status.
CHANGES: dict[str, Callable[[Task], None]] = {
    "running": lambda task: task.start(),
    "completed": lambda task: task.complete({"rows": 3}),
    "failed": lambda task: task.fail("no such row"),
    "cancelled": lambda task: task.cancel(),
}


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("status", CHANGES)
def test_what_was_not_written_was_not_done(engine: str, status: str, at_commit: bool) -> None:
    """The instance is as before, field by field, and like its row; later the same call works, once."""
    task = Task.objects.create(name="import")
    if status in ("completed", "failed"):
        task.start()
        task.report(done=1, total=3)
    before, told = state(task), Event.objects.count()
    with refusing(engine, status, at_commit), pytest.raises(DatabaseError):
        CHANGES[status](task)
    assert state(task) == before == state(only())
    assert (task.changes(), Event.objects.count()) == (set(), told)
    CHANGES[status](task)
    assert (only().status, task.version, Event.objects.count()) == (status, before["version"] + 1, told + 1)


def test_a_block_that_could_not_say_how_it_ended_has_failed(engine: str, at_commit: bool) -> None:
    """The error leaves the block, which is an end like any other: the row does not stay running."""
    with refusing(engine, "completed", at_commit), pytest.raises(DatabaseError), track("Import") as task:
        task.complete({"rows": 3})
    assert (only().status, task.status) == ("failed", "failed")
    assert only().error.startswith("The work ended with ")


def test_a_block_whose_end_was_refused_keeps_its_lease(engine: str, at_commit: bool) -> None:
    """While somebody holds the task: it is running, says so, and can still be ended."""
    with refusing(engine, "completed", at_commit), pytest.raises(DatabaseError), track("Import") as task:
        # As if the thread of the leases had looked while the task said that it was finished.
        lease._keeper._held.clear()
    assert (only().status, task.status, task.finished_at) == ("running", "running", None)
    assert only().lease_expires_at is not None
    assert lease._keeper.holds(task)
    task.complete()
    assert only().status == "completed"


@pytest.mark.usefixtures("own_connections")
async def test_in_async_code(engine: str, at_commit: bool) -> None:
    """The same in ``async with``, and for an async function."""

    @tracked("Export")
    async def export() -> int:
        return 3

    @sync_to_async
    def rows() -> list[tuple[str, str]]:
        return list(Task.objects.order_by("name").values_list("name", "status"))

    lock = refusing(engine, "completed", at_commit)
    await sync_to_async(lock.__enter__)()
    try:
        with pytest.raises(DatabaseError):
            async with track("Import") as task:
                await task.acomplete()
        with pytest.raises(DatabaseError):
            await export()
    finally:
        await sync_to_async(lock.__exit__)(None, None, None)
    assert await rows() == [("Export", "running"), ("Import", "failed")]


def test_an_end_that_waited_in_vain_for_a_lock(engine: str) -> None:
    """A lock timeout is such a refusal; when the lock is free, the end is written."""
    vendor = connections[engine].vendor
    wait = "PRAGMA busy_timeout = 100" if vendor == "sqlite" else "SET lock_timeout = 100"
    with pytest.raises(DatabaseError), track("Import") as task:
        execute(engine, [wait])
        with open_transaction(engine, lambda: Task.objects.update(message="locked")):
            task.complete()
    assert (only().status, task.status, only().message) == ("failed", "failed", "locked")
    connections[engine].close()


def test_an_end_that_was_rolled_back_is_written_again(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    """With the transaction the end has gone; the block tells how it ended. One that stays is told once."""
    with pytest.raises(ZeroDivisionError), track("Import") as task, transaction.atomic(using=engine):
        task.complete()
        raise ZeroDivisionError
    assert (only().status, task.status) == ("failed", "failed")
    with transaction.atomic(using=engine), track("Export") as inside:
        inside.complete({"rows": 3})
    assert Task.objects.get(name="Export").result == {"rows": 3}
    assert caplog.records == []


def test_a_job_of_a_queue(engine: str, at_commit: bool) -> None:
    """It is still open to whatever the queue says next."""
    pk = "6a0b3f7e-6a0f-4a53-9d8b-0d6c1d7b2f11"
    assert jobs.started(pk, "import", None)
    with refusing(engine, "completed", at_commit), pytest.raises(DatabaseError):
        jobs.completed(pk, 3)
    jobs.failed(pk, "The result could not be kept.")
    assert jobs.left(pk) is None
    assert (only().status, only().error) == ("failed", "The result could not be kept.")
