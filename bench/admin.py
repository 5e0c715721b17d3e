"""The admin on a large table: how long each of its pages takes, beside the same pages of a small one.

The tasks are those of a year: most are over, of a thousand users, one in 250 is of the last hour. Each page
is asked for through Django's handler, without a server or a line in between; what pages keep for some seconds
is forgotten before each request. The two sites are asked in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack

from tests.kit.remote import Remote
from tests.kit.site import Site

#: Tasks of the small site. With fewer there is no last page of the list, which is asked for too.
SMALL = 6_000
#: Seconds that filling the tables may take.
PATIENCE = 3_600


def run(rows: int, requests: int) -> None:
    """Fill the tables of two new sites on PostgreSQL, ask for each page, and print the table row by row."""
    with ExitStack() as ending:
        sites = [_filled(ending, count) for count in (SMALL, rows)]
        addresses = [site.run("list(pages.urls().items())") for site in sites]
        print(f"| page, p50 ms | {SMALL:,} tasks | {rows:,} tasks |\n|---|---|---|", flush=True)
        for (name, small), (_, large) in zip(*addresses, strict=True):
            times: list[list[float]] = [[], []]
            for number in range(requests + 1):
                for site, url, taken in zip(sites, (small, large), times, strict=True):
                    milliseconds = site.run("pages.ask(url)", url=url)
                    if number:  # the first one loads templates
                        taken.append(milliseconds)
            few, many = map(statistics.median, times)
            print(f"| {name} | {few:.0f} | {many:.0f} |", flush=True)


def _filled(ending: ExitStack, rows: int) -> Remote:
    site = ending.enter_context(Site(database="postgres"))
    inside = Remote(site.env, site.folder / "pages.log", timeout=PATIENCE)
    ending.callback(inside.kill)
    begin = time.monotonic()
    inside.run("from bench import pages\npages.fill(rows)", rows=rows)
    sys.stderr.write(f"{rows:,} tasks after {time.monotonic() - begin:.0f} s\n")
    return inside
