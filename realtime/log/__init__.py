"""The durable ordered record: append, sequence, read its ends, prune and rebase.

Positions are given *after* commit. An auto-increment id is taken before commit, so a reader could see
11 while 10 is still uncommitted, and never see 10. So :func:`append` writes the event inside the
caller's transaction without a position, and :func:`sequence`, in a short transaction of its own,
positions whatever has been committed. If a process dies between the two, the next ``sequence`` in any
process picks the row up.
"""

from realtime.log.head import (
    Head,
    begin_write,
    database,
    last_position,
    lock_head,
    microseconds,
    position,
    read_head,
    start,
)
from realtime.log.retention import prune, rebase
from realtime.log.writing import ROUND, append, has_pending, pending, sequence, staged

__all__ = [
    "ROUND",
    "Head",
    "append",
    "begin_write",
    "database",
    "has_pending",
    "last_position",
    "lock_head",
    "microseconds",
    "pending",
    "position",
    "prune",
    "read_head",
    "rebase",
    "sequence",
    "staged",
    "start",
]
