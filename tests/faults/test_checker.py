"""The judge of the fault kit: it finds what was planted, for a kit that cannot fail proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.checker import Change, Fact, Log, Verdict, check_life, check_log, check_rows
from tests.faults.history import NUMBERS, Entry, Life, Names, digest

UPDATE = NUMBERS["task_update"]
FIRST = 1_000


class World:
    """A log of one task of user 1 and one of user 2, and one client of each kind."""

    def __init__(self, events: int = 10) -> None:
        self.names = Names()
        self.facts = [self.fact(FIRST + n, "ab"[n % 2], n // 2 + 1, "12"[n % 2]) for n in range(events)]
        self.verdict = Verdict()

    def fact(self, position: int, task: str, version: int, owner: str, **fields: Any) -> Fact:
        told = digest({"task_id": task, "version": version, "owner": owner})
        return Fact(position, UPDATE, self.names[task], owner, "", version, told)._replace(**fields)

    @property
    def log(self) -> Log:
        return Log(self.facts, self.names)

    def life(self, *topics: str, user: str = "1", view_all: bool = False) -> Life:
        """A client that has just subscribed, before the first event."""
        life = Life(user, view_all, self.names)
        life.take({"type": "connected", "user_id": user})
        life.take({"type": "subscribed", "id": FIRST - 1, "task_ids": [], "topics": [*topics, "broadcasts"]})
        return life

    def send(self, life: Life, *positions: int) -> None:
        """Send it these events, as a server should or should not."""
        for position in positions:
            fact = self.facts[position - FIRST]
            task = "ab"[(position - FIRST) % 2]
            data = {"task_id": task, "version": fact.version, "owner": fact.owner}
            life.take({"type": "task_update", "id": position, "task_id": task, "data": data})

    def judge(self, life: Life) -> dict[str, int]:
        """What is found, but for what the client's own view says of it."""
        check_life(life, self.log, self.verdict)
        return {name: count for name, count in self.verdict.counts.items() if name != "violations"}

    def judge_log(self, *journal: tuple[str, int], rows: dict[str, int]) -> dict[str, int]:
        """What is found of the log itself."""
        committed = [
            Change(self.names[task], version, digest({"task_id": task, "version": version, "owner": owner}))
            for task, version, owner in ((task, version, "12"[task == "b"]) for task, version in journal)
        ]
        versions = {self.names[task]: version for task, version in rows.items()}
        check_log(self.log, committed, versions, (FIRST - 1, FIRST + 9), self.verdict)
        return dict(self.verdict.counts)


@pytest.fixture
def world() -> World:
    return World()


MINE = range(FIRST, FIRST + 10, 2)
ROWS = {"a": 5, "b": 5}


def test_what_is_right_is_found_right(world: World) -> None:
    """Each client has exactly its own, the log has each change once: no complaint."""
    mine, everything = world.life("mine"), world.life("tasks", user="9", view_all=True)
    world.send(mine, *MINE)
    world.send(everything, *range(FIRST, FIRST + 10))
    assert world.judge(mine) == world.judge(everything) == {}
    assert world.judge_log(("a", 1), ("b", 5), rows=ROWS) == {}


def test_a_lost_event_is_found(world: World) -> None:
    """In the middle or at the end, where nothing later shows the gap."""
    middle, end = world.life("mine"), world.life("mine")
    world.send(middle, *[p for p in MINE if p != FIRST + 4])
    world.send(end, *MINE[:-1])
    assert world.judge(middle) == {"lost": 1}
    assert world.judge(end) == {"lost": 2}


def test_a_repeated_event_is_found(world: World) -> None:
    """Also on another connection: at a resume, for example."""
    life = world.life("mine")
    world.send(life, *MINE)
    life.end_connection()
    life.take({"type": "connected", "user_id": "1"})
    world.send(life, MINE[-1])
    assert world.judge(life) == {"repeated": 1}


def test_a_disordered_event_is_found(world: World) -> None:
    """A later one came first."""
    life = world.life("mine")
    world.send(life, FIRST, FIRST + 4, FIRST + 2, FIRST + 6, FIRST + 8)
    assert world.judge(life) == {"disordered": 1}


def test_a_leaked_event_of_another_owner_is_found(world: World) -> None:
    """So is one that its user may see, but did not ask for, and one that is in no log."""
    leaked, unasked = world.life("mine"), world.life("mine", user="9", view_all=True)
    world.send(leaked, FIRST, FIRST + 1, *MINE[1:])
    assert world.judge(leaked) == {"leaked": 1}
    world.send(unasked, FIRST)
    assert world.judge(unasked) == {"leaked": 1, "unasked": 1}
    unasked.add(Entry(FIRST + 99, 1, UPDATE, 1, 0))
    assert world.judge(unasked)["invented"] == 1


def test_an_altered_event_is_found(world: World) -> None:
    """Its content is not that of the log."""
    life = world.life("mine")
    world.send(life, *MINE[:-1])
    data = {"task_id": "a", "version": 5, "owner": "1", "message": "planted"}
    life.take({"type": "task_update", "id": MINE[-1], "task_id": "a", "data": data})
    assert world.judge(life) == {"altered": 1}


def test_a_task_given_away_must_be_told_as_removed(world: World) -> None:
    """The previous owner is owed the event, as `task_removed`, and nothing after it."""
    world.facts = [world.fact(FIRST, "a", 1, "1"), world.fact(FIRST + 1, "a", 2, "2", previous_owner="1")]
    world.facts.append(world.fact(FIRST + 2, "a", 3, "2"))
    life = world.life("mine")
    world.send(life, FIRST)
    assert world.judge(life) == {"lost": 1}
    life.take({"type": "task_removed", "id": FIRST + 1, "task_id": "a", "version": 2})
    world.verdict = Verdict()
    assert world.judge(life) == {}


def test_only_what_the_snapshot_contained_need_not_come(world: World) -> None:
    """A row that is newer than the event stands for it, on the same connection; an older one does not."""
    life = Life("1", False, world.names)
    life.take({"type": "connected", "user_id": "1"})
    row = {"task_id": "a", "version": 3, "owner": "1"}
    life.take({"type": "task_update", "snapshot": True, "task_id": "a", "data": row})
    life.take({"type": "subscribed", "id": FIRST, "task_ids": [], "topics": ["mine", "broadcasts"]})
    assert world.judge(life) == {"lost": 2}


def test_a_reset_is_found(world: World) -> None:
    """None is allowed."""
    life = world.life("mine")
    world.send(life, *MINE)
    life.take({"type": "reset", "reason": "expired"})
    assert world.judge(life) == {"resets": 1}


def test_a_change_that_never_reached_the_log_is_found(world: World) -> None:
    """By the worker's journal, and by the row, whose version no event has."""
    assert world.judge_log(("a", 6), rows=ROWS) == {"never in the log": 1}
    silent = Change(world.names["a"], 5, digest({"task_id": "a", "version": 5, "message": "planted"}))
    told = [silent, Change(world.names["a"], 5, None), Change(world.names["a"], 6, None)]
    check_log(world.log, told, {}, (FIRST - 1, FIRST + 9), verdict := Verdict())
    assert verdict.counts["never in the log"] == 2
    assert world.judge_log(rows={"a": 6, "b": 5})["rows unlike the log"] == 1


def test_a_log_that_is_not_consecutive_is_found(world: World) -> None:
    """A hole, an event that is there twice, versions out of step, and a row that went without a word."""
    del world.facts[4]
    assert world.judge_log(rows=ROWS) == {"holes in the log": 1, "log out of step": 1}
    world.facts.insert(4, world.fact(FIRST + 4, "b", 2, "2"))
    world.verdict = Verdict()
    assert world.judge_log(rows=ROWS)["twice in the log"] == 1
    world.verdict = Verdict()
    assert world.judge_log(rows={"a": 5})["rows unlike the log"] == 1


def test_a_row_unlike_the_databases_is_found(world: World) -> None:
    """What a client shows in the end is compared, not only what it was sent."""
    life = world.life("mine")
    world.send(life, *MINE)
    right = ("1", 5, world.facts[-2].digest)
    check_rows(life, {"a": right, "b": ("2", 5, 0)}, world.verdict)
    assert world.verdict.clean
    check_rows(life, {"a": ("1", 5, 17)}, world.verdict)
    assert world.verdict.counts == {"rows": 1}
