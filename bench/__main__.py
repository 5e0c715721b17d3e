"""The command: ``python -m bench fanout --rounds 5 --seconds 10``."""

import argparse

from bench import admin, fanout, slow


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="fanout", choices=["fanout", "slow", "admin"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each measured window")
    parser.add_argument("--clients", type=int, default=500, help=f"more than {fanout.FIRST}")
    parser.add_argument("--rate", type=float, default=20, help="messages per second to each client")
    parser.add_argument("--ways", nargs="+", default=list(fanout.WAYS), choices=list(fanout.WAYS))
    parser.add_argument("--database", default="postgres", choices=["postgres", "sqlite"])
    parser.add_argument("--servers", nargs="+", default=list(slow.SERVERS), choices=list(slow.SERVERS))
    parser.add_argument("--rows", type=int, default=1_000_000, help="tasks in the admin's table")
    parser.add_argument("--requests", type=int, default=15, help="of each page of the admin")
    given = parser.parse_args()
    if given.what == "admin":
        if given.rows < admin.SMALL:
            parser.error(f"--rows must be at least {admin.SMALL}")
        admin.run(given.rows, given.requests)
        return
    if given.what == "slow":
        slow.run(slow.Options(rate=500, size=20_000, seconds=60, servers=given.servers))
        return
    if given.clients <= fanout.FIRST:
        parser.error(f"--clients must be more than {fanout.FIRST}")
    options = fanout.Options(
        clients=given.clients,
        rate=given.rate,
        seconds=given.seconds,
        rounds=given.rounds,
        ways=tuple(given.ways),
        database=given.database,
    )
    fanout.print_summary(options, fanout.run(options))


if __name__ == "__main__":
    main()
