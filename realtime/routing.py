"""The WebSocket's place, for a project's ``asgi.py``."""

from django.urls import re_path

from realtime.consumers import StatusConsumer

websocket_urlpatterns = [re_path(r"^ws/?$", StatusConsumer.as_asgi())]
