"""The WebSocket's place, for a project's ``asgi.py``."""

from typing import Any

from django.urls import re_path

from realtime.consumers import StatusConsumer

# django-stubs know re_path for HTTP views only; Channels gives it ASGI applications.
_application: Any = StatusConsumer.as_asgi()

websocket_urlpatterns = [re_path(r"^ws/?$", _application)]
