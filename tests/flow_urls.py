"""The project's addresses and `/census`: what a server process still holds of its clients."""

import asyncio

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from realtime.process import current_hub


async def census(request: HttpRequest) -> JsonResponse:
    """Count the clients attached to the hub, the keys they watch, and the tasks of the loop."""
    the_hub = await current_hub()
    keys = {key for subscriber in the_hub.subscribers for key in subscriber.keys}
    tasks = len(asyncio.all_tasks())
    return JsonResponse({"clients": len(the_hub.subscribers), "keys": len(keys), "tasks": tasks})


urlpatterns = [path("census", census), path("", include("project.urls"))]
