"""Whatever is lost, repeated, reordered or cut: every client's view becomes the log's and the database's.

A test that cannot fail proves nothing. So each of these faults was put into the code by hand, and found
within 60 schedules: positions dispatched without a gap check; a full buffer that drops an event instead
of falling behind; a floor that is not compared with the cursor; a hub that jumps without telling its
clients; positions at or below the cursor sent again; ids before ``subscribed``; versions of a snapshot
not held, or a snapshot not brought up to the cursor; the previous owner not told, or sent the whole
update; everybody shown everything; what was unsubscribed still in the buffer; orphans left unsequenced;
a heartbeat that passes what waits; a resume that keeps tasks which are gone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from realtime.events import Viewer
from tests import router
from tests.model_client import Client
from tests.model_world import CHANGES, World

INDEX = st.integers(0, 11)
HUB = st.integers(0, 1)
USER = st.integers(0, 2)
OWNER = st.integers(0, 3)
WAYS = st.sampled_from(["alone", "atomic", "crash"])
FRAMES = st.sampled_from([10_000, 0, 1, 2, 5])
#: What a client asks for: topics, and tasks by their number.
NAMES = st.sets(st.sampled_from(["mine", "tasks", "broadcasts", 0, 1, 2, 3, 4]), min_size=1, max_size=4)
WRITE = st.tuples(INDEX, st.sampled_from([*CHANGES]), OWNER, WAYS)
WRITES = st.lists(WRITE, min_size=1, max_size=8)


class Site(RuleBasedStateMachine):
    """Two processes, three people, one log; each rule is something that happens in a real day."""

    users: list[Any] = []

    @initialize(
        smooth=st.booleans(),
        buffer=st.sampled_from([2, 5, 50]),
        ring=st.sampled_from([1, 4, 12, 200]),
        replay=st.sampled_from([5, 20, 100]),
        snapshot=st.sampled_from([2, 100]),
    )
    def begin(self, smooth: bool, buffer: int, ring: int, replay: int, snapshot: int) -> None:
        """Start the processes, with bounds so small that every way of reading is taken."""
        self.settings = override_settings(
            REALTIME={
                "BUFFER_EVENTS": buffer,
                "BUFFER_BYTES": 4096,
                "RING_EVENTS": ring,
                "REPLAY_LIMIT": replay,
                "SNAPSHOT_LIMIT": snapshot,
                "PROGRESS_INTERVAL": 0,
                "LOG_CHECK_INTERVAL": 1,
            }
        )
        self.settings.enable()
        viewers = [Viewer(str(user.pk), user is self.users[2]) for user in self.users]
        self.world = World(router.active, viewers, 2, smooth)
        for number in (0, 1, 0):
            self.world.create(self.users[number], "alone")
        for number, names in enumerate([{"mine"}, {1}, {"tasks"}]):
            self.connect(number, number % 2, names, 10_000)

    def teardown(self) -> None:
        """Become quiet, and judge."""
        if not hasattr(self, "world"):
            return
        try:
            self.world.settle()
            self.world.verify()
        finally:
            self.world.close()
            self.settings.disable()

    @invariant()
    def go_on(self) -> None:
        """Let what is due at once happen."""
        if hasattr(self, "world"):
            self.world.loop.run_for(0.001)

    def _owner(self, number: int) -> Any:
        return self.users[number] if number < len(self.users) else None

    def _client(self, number: int) -> Client:
        return self.world.clients[number % len(self.world.clients)]

    def _name(self, name: str | int) -> str:
        tasks = self.world.tasks
        return tasks[name % len(tasks)] if isinstance(name, int) else name

    def _names(self, client: Client, names: set[str | int]) -> set[str]:
        chosen = {self._name(name) for name in names}
        return chosen if client.viewer.view_all else chosen - {"tasks"}

    # -- writers ------------------------------------------------------------------------------

    @rule(writes=WRITES)
    def write(self, writes: list[tuple[int, str, int, str]]) -> None:
        for number, what, owner, how in writes:
            self.world.change(number, what, self._owner(owner), how)

    @rule(number=INDEX, count=st.integers(1, 9))
    def rename(self, number: int, count: int) -> None:
        for _ in range(count):
            self.world.change(number, "rename", None, "alone")

    @rule(owner=OWNER, how=WAYS)
    def create(self, owner: int, how: str) -> None:
        self.world.create(self._owner(owner), how)

    @rule(number=INDEX, how=WAYS)
    def delete(self, number: int, how: str) -> None:
        self.world.delete(number, how)

    @precondition(lambda self: router.active == "postgres")
    @rule(write=WRITE)
    def hold(self, write: tuple[int, str, int, str]) -> None:
        self.world.hold(write[0], write[1], self._owner(write[2]))

    @precondition(lambda self: self.world.held)
    @rule(commit=st.booleans())
    def release(self, commit: bool) -> None:
        self.world.release(next(iter(self.world.held)), commit=commit)

    @rule(kinds=st.lists(st.sampled_from(["broadcast", "user_changed"]), min_size=1, max_size=4))
    def append(self, kinds: list[str]) -> None:
        for kind in kinds:
            self.world.append(kind)

    @rule(keep=st.sampled_from([0, 0, 1, 3, 8]), dice=st.integers(0, 9))
    def prune(self, keep: int, dice: int) -> None:
        if dice == 9:
            self.world.rebase()
        self.world.prune(keep)

    # -- clients ------------------------------------------------------------------------------

    @rule(user=USER, hub=HUB, names=NAMES, frames=FRAMES)
    def connect(self, user: int, hub: int, names: set[str | int], frames: int) -> None:
        if len(self.world.clients) < 6:
            client = self.world.add_client(self.world.viewers[user])
            client.wants |= self._names(client, names)
            client.connect(self.world.hubs[hub])
            client.read(frames)

    @rule(user=USER, hub=HUB, names=NAMES, back=INDEX)
    def claim(self, user: int, hub: int, names: set[str | int], back: int) -> None:
        """A page that was rendered some events ago, or somebody who claims what was never his."""
        if len(self.world.clients) < 6:
            client = self.world.add_client(self.world.viewers[user])
            client.claim({self._name(name) for name in names}, back)
            client.connect(self.world.hubs[hub])
            client.read(10_000)

    @rule(number=INDEX, names=NAMES)
    def subscribe(self, number: int, names: set[str | int]) -> None:
        client = self._client(number)
        chosen = self._names(client, names)
        if client.connected and chosen:
            client.subscribe(chosen)

    @rule(number=INDEX, pick=INDEX)
    def unsubscribe(self, number: int, pick: int) -> None:
        client = self._client(number)
        held = sorted(client.wants - {"broadcasts"})
        if client.connected and held:
            client.unsubscribe({held[pick % len(held)]})

    @rule(number=INDEX)
    def ping(self, number: int) -> None:
        if self._client(number).connected:
            self._client(number).ping()

    @rule(number=INDEX, frames=st.integers(1, 9))
    def read(self, number: int, frames: int) -> None:
        self._client(number).read(frames)

    @rule(number=INDEX, frames=INDEX)
    def cut(self, number: int, frames: int) -> None:
        self._client(number).read(frames)
        self.world.loop.run_for(0.001)
        self._client(number).cut()

    @rule(number=INDEX, hub=HUB, frames=FRAMES)
    def come_back(self, number: int, hub: int, frames: int) -> None:
        self._client(number).connect(self.world.hubs[hub])
        self._client(number).read(frames)

    @rule(number=INDEX, hub=HUB, names=NAMES, writes=WRITES, again=st.booleans())
    def race(self, number: int, hub: int, names: set[str | int], writes: list[Any], again: bool) -> None:
        """What a client needs has been read, and is still under way to it, while every task changes."""
        if again:
            self._client(number).cut()
            self.write(writes)
        self.world.loop.delays = itertools.cycle([0.0, 0.05])
        if again:
            self.come_back(number, hub, 10_000)
        self.subscribe(number, names)
        self.world.loop.run_for(0.01)
        for task in range(len(self.world.tasks)):
            self.rename(task, 1)
        self.world.loop.run_for(0.3)
        self.world.loop.delays = itertools.repeat(0.0)

    # -- circumstances ------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.02, 0.3, 1.2, 2.5]))
    def wait(self, seconds: float) -> None:
        self.world.loop.run_for(seconds)

    @rule(link=HUB, picks=st.lists(INDEX, max_size=9), repeat=st.booleans(), lose=st.booleans())
    def deliver(self, link: int, picks: list[int], repeat: bool, lose: bool) -> None:
        way = [*self.world.layer.links.values()][-1 - link]
        for pick in picks:
            way.deliver(pick)
            if repeat:
                way.repeat(pick)
        if lose:
            way.lose()

    @rule(delays=st.lists(st.sampled_from([0.0, 0.005, 0.05, 0.7]), min_size=1, max_size=5))
    def slow_database(self, delays: list[float]) -> None:
        self.world.loop.delays = itertools.cycle(delays)

    @rule(count=st.integers(1, 3))
    def database_away(self, count: int) -> None:
        self.world.loop.failures = count

    @rule(hub=HUB)
    def restart(self, hub: int) -> None:
        self.world.loop.failures = 0
        self.world.restart_hub(hub)


@pytest.mark.requirement("F2")
def test_every_client_converges(engine: str, make_user: Callable[..., Any]) -> None:
    """Nothing is lost, repeated, disordered or leaked, and every client's rows are the database's."""
    Site.users = [make_user("alice"), make_user("bob"), make_user("boss", is_superuser=True)]
    run_state_machine_as_test(
        Site,
        settings=settings(
            max_examples=15 if engine == "postgres" else 30,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
