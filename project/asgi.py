"""The ASGI application, the same under daphne and uvicorn."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django_app = get_asgi_application()

# Only now are the models loaded that these import.
from realtime.middleware import guard  # noqa: E402
from realtime.routing import websocket_urlpatterns  # noqa: E402

application = guard(
    ProtocolTypeRouter(
        {
            # A deployment lets its web server give out the static files.
            "http": ASGIStaticFilesHandler(django_app) if settings.DEBUG else django_app,
            "websocket": URLRouter(websocket_urlpatterns),
        }
    )
)
