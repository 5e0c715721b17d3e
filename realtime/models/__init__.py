"""The tables: tasks, the log of their changes, broadcasts, credentials, live nodes and clients."""

from realtime.models.access import Revocation, Ticket
from realtime.models.broadcast import Addressee, Broadcast
from realtime.models.connection import Connection
from realtime.models.log import Event, LogHead
from realtime.models.node import Node, Reach
from realtime.models.task import Task

__all__ = [
    "Addressee",
    "Broadcast",
    "Connection",
    "Event",
    "LogHead",
    "Node",
    "Reach",
    "Revocation",
    "Task",
    "Ticket",
]
