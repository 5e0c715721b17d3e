"""The project's addresses and `/census`: what a server process still holds of its clients."""

import asyncio

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from realtime.limits import places
from realtime.process import current_hub


async def census(request: HttpRequest) -> JsonResponse:
    """Count the clients attached to the hub, the keys they watch, the tasks of the loop, and the places."""
    the_hub = await current_hub()
    keys = {key for subscriber in the_hub.directory.subscribers for key in subscriber.keys}
    tasks = len(asyncio.all_tasks())
    return JsonResponse(
        {
            "clients": len(the_hub.directory.subscribers),
            "keys": len(keys),
            "tasks": tasks,
            "places": len(places.open),
            "counted": len(places.groups) + len(places.users),
        }
    )


def failing(request: HttpRequest) -> JsonResponse:
    """Fail with all that was sent in the text of the exception."""
    raise RuntimeError(f"{request.build_absolute_uri()} {dict(request.headers)}")


urlpatterns = [path("census", census), path("failing", failing), path("", include("project.urls"))]
