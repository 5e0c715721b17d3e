"""Lines on their way to clients: of the tasks they watch only, in the one order, at replay as live."""

from __future__ import annotations

import pytest

from realtime.models import Task
from tests.model_site import MakeSite, Site, Watcher, make_site

__all__ = ["make_site"]

pytestmark = pytest.mark.requirement("T8")


def lines(client: Watcher, task: Task) -> list[int]:
    """The numbers of the task's lines that the client holds, in the order in which they came."""
    return list(client.view.logs.get(str(task.pk), {}))


def tell(site: Site, task: Task, count: int) -> None:
    """Tell so many lines, and let everybody hear of them."""
    for _ in range(count):
        task.log("a line")
    site.run()


def test_lines_are_for_those_who_watch_this_task(make_site: MakeSite) -> None:
    """Not for a topic, which shows how tasks are; and for nobody who may not see the task."""
    site = make_site()
    task, other = site.task(site.alice), site.task(site.alice)
    owner, boss = (site.watch(user, str(task.pk)) for user in (site.alice, site.boss))
    topics, everything = site.watch(site.alice, "mine"), site.watch(site.boss, "tasks")
    stranger, elsewhere = site.watch(site.bob, str(task.pk)), site.watch(site.alice, str(other.pk))
    tell(site, task, 3)
    for client in (owner, boss):
        assert lines(client, task) == [1, 2, 3]
        assert client.take()[-1]["data"] == {"number": 3, "level": "info", "text": "a line"}
    for client in (topics, everything, stranger, elsewhere):
        assert client.view.logs == {}
    task.fail("no")
    site.settle()
    assert owner.types() == ["task_update", "done"]
    site.verify()


def test_lines_follow_who_may_see_the_task(make_site: MakeSite) -> None:
    """Given to somebody else, they are for him from there on; at a replay too."""
    site = make_site(RING_EVENTS=1)
    task = site.task(site.alice)
    alice = site.watch(site.alice, str(task.pk))
    away = site.watch(site.alice, str(task.pk))
    away.cut()
    tell(site, task, 2)
    task.owner = site.bob
    task.save()
    tell(site, task, 2)
    bob = site.watch(site.bob, str(task.pk))
    tell(site, task, 1)
    site.come_back(away)
    for client in (alice, away):
        assert lines(client, task) == [1, 2]
    assert lines(bob, task) == [5]
    site.settle()
    site.verify()


@pytest.mark.parametrize(
    ("engine", "ring"),
    [("sqlite", 20_000), ("postgres", 1)],
    ids=["from the ring", "from the log"],
    indirect=["engine"],
)
def test_a_resume_brings_the_lines_that_were_missed(make_site: MakeSite, ring: int) -> None:
    """Each once, among the changes, from any process; a fresh subscribe brings none of before."""
    site = make_site(hubs=2, RING_EVENTS=ring)
    task = site.task(site.alice)
    client = site.watch(site.alice, str(task.pk))
    task.start()
    tell(site, task, 2)
    client.cut()
    tell(site, task, 2)
    task.report(50)
    tell(site, task, 2)
    site.come_back(client, hub=1)
    assert lines(client, task) == [1, 2, 3, 4, 5, 6]
    assert client.types()[-4:] == ["task_update", "task_log", "task_log", "subscribed"]
    fresh = site.watch(site.alice, str(task.pk))
    assert fresh.types() == ["connected", "row", "subscribed"]
    tell(site, task, 1)
    assert lines(fresh, task) == [7]
    site.settle()
    site.verify()


def test_a_slow_reader_gets_every_line_before_the_end(make_site: MakeSite) -> None:
    """One whose buffer overflows reads on from the log: nothing is missing, and `done` comes last."""
    site = make_site(BUFFER_EVENTS=3, RING_EVENTS=5)
    task = site.task(site.alice)
    client = site.visit(site.alice)
    client.connect(site.hubs[0])
    client.read(1)
    site.ask(client, str(task.pk))
    task.start()
    tell(site, task, 40)
    task.complete()
    client.read(1000)
    site.settle()
    assert lines(client, task) == list(range(1, 41))
    assert client.types()[-1] == "done"
    site.verify()
