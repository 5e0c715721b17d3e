"""The thread of this process that renews leases, in the hands of a test."""

import threading

from realtime.models import lease


def end_renewals() -> None:
    """Let the thread end, and nothing be renewed of what was held; new tasks get a new one."""
    lease._keeper.end()
    lease._fork()


def renewers() -> int:
    """How many threads renew leases."""
    return sum(thread.name == "realtime-lease" for thread in threading.enumerate())
