"""Sequencing: positions are consecutive, whoever gives them and whoever died before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from realtime import database, log
from realtime.events import TASK_UPDATE
from realtime.hub import Hub
from realtime.log.head import ATTEMPTS, retried
from realtime.models import Event, LogHead, Task
from tests.journal import journal
from tests.kit.remote import Remote
from tests.kit.site import Database, Site
from tests.kit.threads import together
from tests.kit.waiting import aeventually, eventually

FOREVER = 2**62

#: A task whose process dies at once when the row is committed: before its event has a position.
DIE_BEFORE_SEQUENCING = """
import os, signal
from django.db import transaction
with transaction.atomic():
    transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    Task.objects.create(name="orphan")
"""
#: The event of a save alone is committed with its position; the process dies before it is published.
DIE_BEFORE_PUBLISHING = """
import os, signal
from django.db import transaction
from django.db.models.signals import post_save
def die(**kwargs):
    transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
post_save.connect(die, sender=Task)
Task.objects.create(name="unpublished")
"""
WAITING = "from realtime import log; log.has_pending()"


def run_until_killed(worker: Remote, code: str) -> None:
    """Run code in a process that it kills."""
    worker.submit(code)
    eventually(lambda: not worker.child.running)
    worker.kill()  # closes our end


def leave_pending(count: int, using: str) -> None:
    """Commit events as a process leaves them that dies right after: nobody gives them positions."""
    now = timezone.now()
    rows = [Event(kind=TASK_UPDATE, task_id=f"orphan {n}", created_at=now) for n in range(count)]
    Event.objects.using(using).bulk_create(rows)


def assert_in_id_order() -> None:
    """Positions are consecutive up to the head and follow the order of the writes."""
    positions = list(Event.objects.order_by("id").values_list("position", flat=True))
    head = log.position()
    assert positions == list(range(head - len(positions) + 1, head + 1))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site with a database of its own, for processes that die."""
    database_: Database = request.param
    with Site(database_) as site:
        yield site


@pytest.mark.requirement("F1")
def test_a_process_killed_before_sequencing_delays_its_event(site: Site) -> None:
    """The next sequence() of another process positions what a dead one committed."""
    run_until_killed(site.remote(), DIE_BEFORE_SEQUENCING)
    web = site.remote("web")
    assert web.run(WAITING) is True
    names = "from realtime import log; [event.data['name'] for event in log.sequence()]"
    assert web.run(names) == ["orphan"]
    assert web.run(WAITING) is False


@pytest.mark.requirement("F1")
def test_a_process_killed_before_publishing_has_its_event_in_the_log(site: Site) -> None:
    """A save alone commits the event with its position: nothing of it waits for anybody."""
    run_until_killed(site.remote(), DIE_BEFORE_PUBLISHING)
    web = site.remote("web")
    assert web.run(WAITING) is False
    found = "from realtime import log, replay; [e.data['name'] for e in replay.read(0, log.position(), 9)]"
    assert web.run(found)[-1] == "unpublished"


@pytest.mark.requirement("F1")
async def test_a_hub_finds_what_nobody_published(
    hubs: Callable[..., Awaitable[Hub]], engine: str, settings: Any
) -> None:
    """Orphans, and events that were positioned and never published, reach every hub by its check."""
    settings.REALTIME = {"LOG_CHECK_INTERVAL": 0.05}
    hub, other = await hubs(), await hubs()
    before = hub.position
    await database.run(leave_pending, 3, engine)
    await aeventually(lambda: hub.position == other.position == before + 3)
    await database.run(leave_pending, 2, engine)
    await database.run(lambda: log.sequence(publish=False))
    await aeventually(lambda: hub.position == other.position == before + 5)


def test_two_thousand_events_of_one_transaction(engine: str) -> None:
    """They get consecutive positions in the order of their writing, 500 a round, and only once."""
    log.start()
    with CaptureQueriesContext(connections[engine]) as queries, transaction.atomic(using=engine):
        for start in range(0, 2000, 400):
            Task.objects.bulk_create([Task(name=str(n)) for n in range(start, start + 400)])
    assert [event.data["name"] for event in journal()] == [str(n) for n in range(2000)]
    assert_in_id_order()
    # Five callbacks were registered. The first one locked the head for four full rounds and one more.
    locks = [q for q in queries if q["sql"].startswith(f"UPDATE {LogHead._meta.db_table} SET")]
    assert len(locks) == 5


def test_many_threads_sequence_at_once(engine: str) -> None:
    """Each event is positioned once, by one of them; no position is left out or given twice."""
    log.start()
    leave_pending(1300, engine)
    shares = together(*[log.sequence] * 6)
    positions = sorted(event.position for share in shares for event in share)
    assert positions == list(range(log.position() - 1299, log.position() + 1))
    assert_in_id_order()


@pytest.mark.parametrize("waiting", [1, log.ROUND, log.ROUND + 1])
def test_a_save_alone_stands_behind_what_waits(engine: str, waiting: int) -> None:
    """What was committed before gets its positions first, in the same transaction if it fits a round."""
    log.start()
    leave_pending(waiting, engine)
    task = Task.objects.create(name="import")
    assert not log.has_pending()
    assert len(journal()) == waiting + 1
    assert journal()[-1].task_id == str(task.pk)
    assert_in_id_order()


def test_sequence_publishes_and_returns_what_it_positioned(engine: str) -> None:
    """The caller gets the events in the log's order, and a second call finds nothing."""
    leave_pending(3, engine)
    assert log.sequence() == journal()
    assert log.sequence() == []


def test_a_lost_race_is_tried_again() -> None:
    """A serialization failure is retried; a database that stays busy is left to the hubs."""
    calls: list[int] = []

    def fail_until(last: int) -> int:
        calls.append(1)
        if len(calls) < last:
            raise OperationalError("could not serialize access")
        return len(calls)

    assert retried(lambda: fail_until(3)) == 3
    calls.clear()
    with pytest.raises(OperationalError):
        retried(lambda: fail_until(99))
    assert len(calls) == ATTEMPTS
