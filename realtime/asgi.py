"""The ASGI application of a project with live task status, made of its Django application.

In ``asgi.py``, after ``application = get_asgi_application()``, which loads the models:

>>> from realtime.asgi import with_realtime
>>> application = with_realtime(application)
"""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter

from realtime.middleware import Guard, guard
from realtime.routing import websocket_urlpatterns


def with_realtime(application: Any) -> Guard:
    """Return ``application`` with the WebSocket at ``/ws`` beside it, and the guard around both.

    For a project without WebSockets of its own. One that has some adds ``websocket_urlpatterns`` to its own
    router and puts ``realtime.middleware.guard`` around the whole.
    """
    return guard(ProtocolTypeRouter({"http": application, "websocket": URLRouter(websocket_urlpatterns)}))
