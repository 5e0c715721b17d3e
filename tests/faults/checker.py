"""The judge: holds every client's history, the workers' journal and the rows against the log."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.faults.history import NUMBERS, Life, Names, Span

UPDATE, DELETED, REMOVED = NUMBERS["task_update"], NUMBERS["task_deleted"], NUMBERS["task_removed"]
#: Goes to subscriptions of that task alone.
LINE = NUMBERS["task_log"]
BROADCAST_KINDS = {NUMBERS["broadcast"], NUMBERS["broadcast_retracted"]}
#: Examples that are kept of each complaint.
EXAMPLES = 5


class Fact(NamedTuple):
    """An event as the log holds it; ``kind`` -1 is internal, ``audience`` None is everybody."""

    position: int
    kind: int
    task: int
    owner: str
    previous_owner: str
    version: int
    digest: int
    audience: frozenset[str] | None = None


class Change(NamedTuple):
    """What somebody says that he has committed; ``digest`` is 0 for a deletion, None when not known."""

    task: int
    version: int
    digest: int | None


class Verdict:
    """What is wrong, counted by its name, with a few examples of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = defaultdict(list)

    def complain(self, name: str, example: object) -> None:
        """Count one."""
        self.counts[name] += 1
        if len(self.examples[name]) < EXAMPLES:
            self.examples[name].append(str(example))

    @property
    def clean(self) -> bool:
        """Whether there is nothing to complain of."""
        return not self.counts

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: {count}, such as\n  " + "\n  ".join(self.examples[name])
            for name, count in sorted(self.counts.items())
        )


class Log:
    """The log, and who is owed what of it."""

    def __init__(self, facts: Iterable[Fact], names: Names) -> None:
        self.facts = {fact.position: fact for fact in facts}
        self._names = names
        self._keys: dict[str | int, list[int]] = defaultdict(list)
        for _, fact in sorted(self.facts.items()):
            self.index(fact)

    def index(self, fact: Fact) -> None:
        """File an event under everything it could be watched by."""
        if fact.kind in BROADCAST_KINDS:
            self._keys["broadcasts"].append(fact.position)
        elif fact.kind == LINE:
            self._keys[fact.task].append(fact.position)
        elif fact.kind >= 0:
            self._keys["tasks"].append(fact.position)
            self._keys[fact.task].append(fact.position)
            for owner in {fact.owner, fact.previous_owner} - {""}:
                self._keys[f"mine {owner}"].append(fact.position)

    def add(self, fact: Fact) -> None:
        """Take a later event."""
        self.facts[fact.position] = fact
        self.index(fact)

    def sees(self, life: Life, fact: Fact) -> bool:
        """Whether an event is for that client's user, in the words of the design."""
        if fact.kind in BROADCAST_KINDS:
            return fact.audience is None or life.user_id in fact.audience
        return fact.kind >= 0 and (life.view_all or life.user_id in (fact.owner, fact.previous_owner))

    def positions(self, life: Life, span: Span) -> list[int]:
        """The events that a subscription was owed."""
        found = self._watched(life, span.name)
        between = found[bisect_right(found, span.after) : bisect_right(found, span.upto)]
        return [position for position in between if self.sees(life, self.facts[position])]

    def last_owed(self, life: Life, upto: int) -> int:
        """The last event up to that position that a client is owed, or 0."""
        last = 0
        for span in life.served():
            found = self._watched(life, span.name)
            for index in range(bisect_right(found, min(span.upto, upto)) - 1, -1, -1):
                if found[index] <= last:
                    break
                if self.sees(life, self.facts[found[index]]):
                    last = found[index]
                    break
        return last

    def _watched(self, life: Life, name: str) -> Sequence[int]:
        if name == "mine":
            return self._keys[f"mine {life.user_id}"]
        return self._keys[name if name in ("tasks", "broadcasts") else self._names[name]]


def check_life(life: Life, log: Log, verdict: Verdict) -> None:
    """Hold one client's history against the log: exactly what it is owed, once, in order, unchanged."""
    owed = {position for span in life.served() for position in log.positions(life, span)}
    received: set[int] = set()
    highest = 0
    for entry in life.entries:
        if entry.position in received:
            verdict.complain("repeated", entry)
        elif entry.position < highest:
            verdict.complain("disordered", entry)
        received.add(entry.position)
        highest = max(highest, entry.position)
        fact = log.facts.get(entry.position)
        if fact is None:
            verdict.complain("invented", entry)
            continue
        if not log.sees(life, fact):
            verdict.complain("leaked", f"{entry} to user {life.user_id}: {fact}")
        elif entry.position not in owed:
            verdict.complain("unasked", entry)
        if entry[1:] != _as_told(life, fact)[1:]:
            verdict.complain("altered", f"{entry}, but {fact}")
    shown: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row in life.shown:
        shown[row.task].append((row.version, row.cursor, life.end_of(row.connection)))
    for position in sorted(owed - received):
        fact = log.facts[position]
        if not _was_shown(fact, shown[fact.task]) and not _was_heard(life, fact, log):
            verdict.complain("lost", f"{fact} of user {life.user_id}, which watched {[*life.served()][:3]}")
    for reason in life.resets:
        verdict.complain("resets", reason)
    for violation in life.view.violations:
        verdict.complain("violations", violation)


def _as_told(life: Life, fact: Fact) -> tuple[int, ...]:
    """The delivery that an event must be to this client."""
    kind, told = fact.kind, fact.digest
    removed = fact.previous_owner == life.user_id != fact.owner and not life.view_all
    if kind == UPDATE and removed:
        kind, told = REMOVED, 0
    return (fact.position, fact.task, kind, fact.version, told)


def _was_shown(fact: Fact, rows: list[tuple[int, int, int]]) -> bool:
    """Whether a snapshot contained the event before its turn came, on the connection of that turn."""
    return any(version >= fact.version and cursor < fact.position <= end for version, cursor, end in rows)


def _was_heard(life: Life, fact: Fact, log: Log) -> bool:
    return fact.kind in BROADCAST_KINDS and any(log._names[notice] == fact.task for notice in life.heard)


def check_log(
    log: Log,
    journal: Iterable[Change],
    versions: Mapping[int, int],
    ends: tuple[int, int],
    verdict: Verdict,
) -> None:
    """Hold the log against what was committed.

    ``journal`` has what the workers say they committed, ``versions`` those of the rows that are there,
    ``ends`` the log's floor and position.
    """
    floor, last = ends
    for position in range(floor + 1, last + 1):
        if position not in log.facts:
            verdict.complain("holes in the log", position)
    seen: dict[tuple[int, int], int] = {}
    latest: dict[int, int] = {}
    gone: set[int] = set()
    for _, fact in sorted(log.facts.items()):
        if fact.kind not in (UPDATE, DELETED):
            continue
        if (fact.task, fact.version) in seen:
            verdict.complain("twice in the log", fact)
        seen[fact.task, fact.version] = fact.digest
        if fact.version != latest.get(fact.task, 0) + 1:
            verdict.complain("log out of step", f"{fact} after version {latest.get(fact.task, 0)}")
        latest[fact.task] = fact.version
        if fact.kind == DELETED:
            gone.add(fact.task)
    for change in journal:
        found = seen.get((change.task, change.version))
        if found is None or change.digest not in (found, None):
            verdict.complain("never in the log", change)
    for task, version in versions.items():
        if task in gone or latest.get(task) != version:
            verdict.complain("rows unlike the log", f"task {task} has version {version}: {latest.get(task)}")
    for task in latest.keys() - versions.keys() - gone:
        verdict.complain("rows unlike the log", f"task {task} is gone without an event")


def check_rows(life: Life, rows: Mapping[str, tuple[str, int, int]], verdict: Verdict) -> None:
    """Hold what a client shows in the end against the database: ``rows`` are owner, version, digest."""
    if life.truncated:
        return
    topics, task_ids = life.view.topics, life.view.task_ids
    due = {
        task_id: (version, told)
        for task_id, (owner, version, told) in rows.items()
        if "tasks" in topics or task_id in task_ids or ("mine" in topics and owner == life.user_id)
    }
    held = {task_id: (row["version"], row["digest"]) for task_id, row in life.view.rows.items()}
    if held != due:
        differences = {task for task in held.keys() | due.keys() if held.get(task) != due.get(task)}
        for task in differences:
            verdict.complain("rows", f"{task} of user {life.user_id}: {held.get(task)}, not {due.get(task)}")
