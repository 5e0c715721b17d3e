"""The Python clients against real servers: a restart without a gap, a task's end, notices, renewal."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from realtime.client import (
    Client,
    Denied,
    Event,
    Reset,
    Subscribed,
    SyncClient,
    TaskUpdate,
    Timing,
    Unreachable,
)
from tests.ending import ending
from tests.flows import Live, Person
from tests.following import DEADLINE, QUICK, nothing_left, quick, site, until
from tests.kit.ports import free_port
from tests.kit.waiting import aeventually

__all__ = ["nothing_left", "site"]


async def follow_async(live: Live, person: Person, into: list[Event]) -> None:
    """Watch until the message "end" has come."""
    async with quick(live, person) as client:
        async for event in client.watch(topics=["mine"], timeout=DEADLINE):
            into.append(event)
            if isinstance(event, TaskUpdate) and event.task.message == "end":
                break
        await aeventually(lambda: not client._watches)


async def follow_sync(live: Live, person: Person, into: list[Event]) -> None:
    """Do the same without asyncio."""

    def follow() -> None:
        with SyncClient(live.server.url, token=person.token, timing=QUICK) as client:
            for event in client.watch(topics=["mine"], timeout=DEADLINE):
                into.append(event)
                if isinstance(event, TaskUpdate) and event.task.message == "end":
                    break

    await asyncio.to_thread(follow)


def ids(events: list[Event]) -> list[int]:
    """The positions of the changes that were told."""
    return [e.id for e in events if isinstance(e, TaskUpdate) and e.id is not None]


#: The positions of all events of a person's after one.
POSITIONS = """
found = Event.objects.filter(owner=str(owner), position__gt=after).order_by("position")
list(found.values_list("position", flat=True))
"""


@pytest.mark.requirement("S6")
async def test_a_restart_of_the_server_leaves_no_gap(site: Live) -> None:
    """Killed and started again while another process writes: the log's events, in order, each once."""
    async with ending(site) as live:
        person = await live.person()
        tasks = await live.tasks(person, 2)
        both: list[list[Event]] = [[], []]
        ways = zip((follow_async, follow_sync), both, strict=True)
        following = [asyncio.create_task(follow(live, person, heard)) for follow, heard in ways]
        await aeventually(lambda: all(any(isinstance(e, Subscribed) for e in heard) for heard in both), 20)
        writing = asyncio.create_task(live.burst(tasks, 20, pause=0.02))
        await aeventually(lambda: all(len(ids(heard)) > 5 for heard in both), timeout=20)
        live.server.kill()
        await writing
        server = await asyncio.to_thread(live.site.start, live.server.kind, live.server.port)
        await live.burst(tasks, 2)
        await live.change(tasks[0], message="end")
        await asyncio.wait_for(asyncio.gather(*following), DEADLINE)
        for heard in both:
            first = next(event for event in heard if isinstance(event, Subscribed))
            assert ids(heard) == await live.run(POSITIONS, owner=person.id, after=first.position)
            assert len(ids(heard)) == 2 * 22 + 1
            assert not [event for event in heard if isinstance(event, Reset)]
        await asyncio.to_thread(server.kill)


async def test_a_token_is_renewed_before_it_ends(site: Live) -> None:
    """On the same connection, with the refresh token: the watch goes on beyond the first one's end."""
    person = await site.person()
    pair = await asyncio.to_thread(site.site.token_pair, person.name)
    short = await asyncio.to_thread(site.site.token, person.name, 3)
    end = time.time() + 3
    task = await site.task(person)
    async with Client(site.server.url, token=short, refresh=pair["refresh"], timing=QUICK) as client:
        events = client.watch(task, timeout=DEADLINE)
        await until(events, Subscribed)
        (watch,) = client._watches
        # The server ends a connection at the end of its token; this one has another by then.
        await aeventually(lambda: time.time() > end + 0.5, interval=0.1)
        await site.finish(task)
        assert isinstance(await until(events, TaskUpdate), TaskUpdate)
        assert watch._attempt == 0, "it was cut"
        assert watch._token != short
        await events.aclose()


async def test_a_name_and_a_password_are_enough(site: Live) -> None:
    """They give the tokens; a wrong password is refused at once, and shown nowhere."""
    name = f"user-{uuid.uuid4().hex[:12]}"
    person = await asyncio.to_thread(site.site.create_user, name, password="correct horse")
    async with Client(site.server.url, username=name, password="correct horse") as client:
        assert await client.tasks() == []
        assert "horse" not in f"{client!r} {client._credential!r} {vars(client)}"
    async with Client(site.server.url, username=name, password="wrong") as client:
        with pytest.raises(Denied) as caught:
            await until(client.watch(), Subscribed)
        assert caught.value.code == "invalid_credentials"
    assert person


async def test_a_log_that_was_rebased_brings_a_reset_and_a_snapshot(site: Live) -> None:
    """The rows before it are to be forgotten; after it every change comes again."""
    person = await site.person()
    task = await site.task(person)
    async with quick(site, person) as client:
        events = client.watch(topics=["mine"], timeout=DEADLINE)
        await until(events, Subscribed)
        await site.run("from realtime import log\nlog.rebase().position")
        await until(events, Reset)
        row = await until(events, TaskUpdate)
        assert isinstance(row, TaskUpdate)
        assert row.snapshot
        await until(events, Subscribed)
        await site.change(task, message="after")
        update = await until(events, TaskUpdate)
        assert isinstance(update, TaskUpdate)
        assert update.task.message == "after"
        await events.aclose()


async def test_closing_the_client_ends_who_waits(site: Live) -> None:
    """Nobody is left behind in a loop that will never be told anything."""
    person = await site.person()
    client = await quick(site, person).__aenter__()
    events = client.watch(topics=["mine"])
    await until(events, Subscribed)
    waiting = asyncio.create_task(until(events, TaskUpdate))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(Exception, match="closed"):
        await waiting
    with pytest.raises(Exception, match="not open"):
        await client.tasks()


async def test_a_client_may_be_told_to_give_up() -> None:
    """Where nobody listens; without a limit it never does."""
    timing = Timing(back_off=0.05, back_off_limit=0.1, give_up=0.3)
    async with Client(f"http://127.0.0.1:{free_port()}", token="any", timing=timing) as client:
        with pytest.raises(Unreachable):
            await until(client.watch(timeout=DEADLINE), Subscribed)
        with pytest.raises(Unreachable):
            await client.tasks()
