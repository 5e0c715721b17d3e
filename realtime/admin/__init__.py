"""The Django admin: tasks, the live dashboard, broadcasts, the log; found by the admin's autodiscovery."""

from realtime.admin.broadcasts import BroadcastAdmin
from realtime.admin.clients import ConnectionAdmin
from realtime.admin.events import EventAdmin
from realtime.admin.live import LiveAdmin
from realtime.admin.processes import NodeAdmin
from realtime.admin.tasks import TaskAdmin

__all__ = ["BroadcastAdmin", "ConnectionAdmin", "EventAdmin", "LiveAdmin", "NodeAdmin", "TaskAdmin"]
