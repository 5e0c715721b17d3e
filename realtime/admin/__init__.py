"""The Django admin: tasks, broadcasts and the log, found by the admin's autodiscovery."""

from realtime.admin.broadcasts import BroadcastAdmin
from realtime.admin.events import EventAdmin
from realtime.admin.tasks import TaskAdmin

__all__ = ["BroadcastAdmin", "EventAdmin", "TaskAdmin"]
