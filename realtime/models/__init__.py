"""The tables: tasks and their lines, the log of changes, broadcasts, credentials, live nodes and clients."""

from realtime.models.access import Revocation, Ticket
from realtime.models.broadcast import Addressee, Broadcast
from realtime.models.connection import Connection
from realtime.models.log import Event, LogHead
from realtime.models.node import Live, Node, Reach
from realtime.models.task import Task
from realtime.models.task_log import TaskLog

__all__ = [
    "Addressee",
    "Broadcast",
    "Connection",
    "Event",
    "Live",
    "LogHead",
    "Node",
    "Reach",
    "Revocation",
    "Task",
    "TaskLog",
    "Ticket",
]
