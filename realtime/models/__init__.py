"""The models: tasks, the event log and its head."""

from realtime.models.log import Event, LogHead
from realtime.models.task import Task

__all__ = ["Event", "LogHead", "Task"]
