"""The HTTP doors, for a project's ``urls.py``: ``path("", include("realtime.urls"))``."""

from django.urls import path, re_path

from realtime.api import broadcasts, tokens
from realtime.api.description import Description, streams
from realtime.api.events import Events, TaskEvents
from realtime.api.lines import TaskLines
from realtime.api.tasks import CancelTask, OneTask, RetryTask, Tasks
from realtime.health import healthz, readyz
from realtime.scrape import scrape
from realtime.views import events

app_name = "realtime"

urlpatterns = [
    re_path(r"^events/?$", events, name="events"),
    re_path(r"^broadcast/?$", broadcasts.Broadcasts.as_view(), name="broadcast"),
    re_path(
        r"^broadcast/(?P<broadcast_id>[^/]+)/?$", broadcasts.OneBroadcast.as_view(), name="broadcast_one"
    ),
    re_path(r"^healthz/?$", healthz, name="healthz"),
    re_path(r"^readyz/?$", readyz, name="readyz"),
    re_path(r"^metrics/?$", scrape, name="metrics"),
    path("api/token/", tokens.Login.as_view(), name="token"),
    path("api/token/refresh/", tokens.Refresh.as_view(), name="token_refresh"),
    path("api/token/logout/", tokens.Logout.as_view(), name="token_logout"),
    path("api/ticket/", tokens.Tickets.as_view(), name="ticket"),
    path("api/tasks/", Tasks.as_view(), name="tasks"),
    path("api/tasks/<str:task_id>/", OneTask.as_view(), name="task"),
    path("api/tasks/<str:task_id>/cancel/", CancelTask.as_view(), name="task_cancel"),
    path("api/tasks/<str:task_id>/retry/", RetryTask.as_view(), name="task_retry"),
    path("api/tasks/<str:task_id>/events/", TaskEvents.as_view(), name="task_events"),
    path("api/tasks/<str:task_id>/log/", TaskLines.as_view(), name="task_log"),
    path("api/events/", Events.as_view(), name="api_events"),
    path("asyncapi.json", streams, name="asyncapi"),
    path("api/schema/", Description.as_view(), name="schema"),
]
