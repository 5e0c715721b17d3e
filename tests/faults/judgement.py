"""The judgement: what clients received, people's rows and the log, each against all the others."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

from tests.faults.archive import read_rows
from tests.faults.checker import Log, check_life, check_log, check_rows

if TYPE_CHECKING:
    from tests.faults.run import Run


async def judge(run: Run) -> None:
    """Compare all that was noted, and put what is wrong, and how much there was, into the run's figures."""
    figures, verdict = run.figures, run.figures.verdict
    with closing(run.archive.connect()) as connection:
        facts = [run.archive.fact(row) for row in run.archive.events(connection, 0)]
    log = Log(facts, run.names)
    remote = await asyncio.to_thread(run.cluster.remote)
    rows = await asyncio.to_thread(read_rows, remote)
    remote.kill()
    journal = [*run.archive.journal(run.cluster.journal.read_text()), *run.caller.journal]
    versions = run.archive.versions(rows)
    check_log(log, journal, versions, await asyncio.to_thread(run.archive.head), verdict)
    for client in run.clients:
        for life in client.lives:
            check_life(life, log, verdict)
        check_rows(client.life, rows, verdict)
        for complaint in client.complaints:
            verdict.complain("complaints", complaint)
    for complaint in run.caller.complaints:
        verdict.complain("complaints", complaint)
    figures.called = len(run.caller.journal)
    for index in range(len(run.cluster.webs)):
        await asyncio.to_thread(run.cluster.scrape, index)
    figures.deliveries, figures.events = run.deliveries, len(log.facts)
    figures.connections = sum(client.connections for client in run.clients)
    figures.stall, until = max(client.longest for client in run.clients)
    during = {kind for kind, begin, end in run.past if begin < until and end > until - figures.stall}
    figures.stalled_in = ", ".join(sorted(during))
    figures.servers = run.cluster.counted
