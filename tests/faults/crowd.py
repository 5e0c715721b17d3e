"""The crowd of clients: every transport, every kind of subscription, owners and those who may see all."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.faults.archive import Archive
from tests.faults.client import WAYS, Client
from tests.faults.cluster import User
from tests.faults.front import Front

#: Tasks that a client watches one by one.
SINGLE = 3
#: The share of choices of single tasks of which some may be somebody else's: those must be refused.
BLIND = 0.1
#: Of five clients two watch all tasks, two their own, and one single ones.
WANTS = ({"tasks"}, {"mine"}, set[str](), {"tasks"}, {"mine"})


def crowd(
    count: int, users: Sequence[User], front: Front, archive: Archive, dice: random.Random
) -> list[Client]:
    """Make that many clients, of which each kind uses each transport."""
    owners = [user for user in users if not user.view_all]
    viewers = [user for user in users if user.view_all]

    def single_tasks(user: User, choice: random.Random) -> list[str]:
        blind = user.view_all or choice.random() < BLIND
        seen = [task for task, owner in archive.active.items() if blind or owner == user.id]
        return choice.sample(seen, min(len(seen), SINGLE))

    clients = []
    for number in range(count):
        wants = WANTS[number % len(WANTS)]
        sees_all = "tasks" in wants or (not wants and number % 4 == 0)
        user = dice.choice(viewers if sees_all else owners)
        ways = WAYS[number // len(WANTS) % len(WAYS)]
        clients.append(Client(user, wants, ways, front, archive.names, dice.randrange(1 << 30)))
        clients[-1].choose = single_tasks
    return clients
