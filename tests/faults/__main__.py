"""The long form: ``python -m tests.faults --seed 1 --deliveries 1000000 --faults 200``."""

import argparse
import random
import sys

import uvloop

from tests.faults.report import lines
from tests.faults.run import Options, Run


def say(line: str) -> None:
    """Print a line at once, for a log that somebody watches."""
    print(line, flush=True)  # noqa: T201


def main() -> int:
    """Run, print, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--clients", type=int, default=250)
    parser.add_argument("--pace", type=float, default=6.0, help="changes a second of each of three workers")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds after which it is over")
    given = parser.parse_args()
    say(f"seed {given.seed}")
    figures = uvloop.run(Run(Options(**vars(given)), say).go())
    for line in lines(figures):
        say(line)
    if not figures.verdict.clean:
        say(str(figures.verdict))
    return 0 if figures.verdict.clean and figures.complete else 1


if __name__ == "__main__":
    sys.exit(main())
