"""The way of the Channels tutorial, to compare with: one group membership per connection."""

import json
import os
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")


class TutorialConsumer(AsyncWebsocketConsumer):
    """Joins the group of its task and encodes every message for itself."""

    async def connect(self) -> None:
        """Join the group, then accept. Nobody is authenticated: that is in the tutorial's favour."""
        self.group = f"task.{self.scope['url_route']['kwargs']['task_id']}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def task_update(self, event: dict[str, Any]) -> None:
        """Send what the setting ``TASK_GROUPS`` makes a save publish to ``task.<id>``."""
        await self.send(text_data=json.dumps(event["data"]))


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("ws/<uuid:task_id>/", TutorialConsumer.as_asgi())]),
    }
)
