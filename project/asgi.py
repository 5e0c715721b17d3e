"""The ASGI application, the same under daphne and uvicorn."""

import os
from pathlib import Path
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from servestatic import ServeStaticASGI

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django_app = get_asgi_application()

# Only now are the models loaded that these import.
from realtime.middleware import guard  # noqa: E402
from realtime.routing import websocket_urlpatterns  # noqa: E402


def with_static_files(application: Any) -> Any:
    """Give out the static files: from their places while debugging, else what `collectstatic` collected."""
    if settings.DEBUG:
        return ASGIStaticFilesHandler(application)
    if not Path(settings.STATIC_ROOT).is_dir():
        return application
    return ServeStaticASGI(
        application, root=settings.STATIC_ROOT, prefix=settings.STATIC_URL, allow_all_origins=False
    )


application = guard(
    ProtocolTypeRouter(
        {
            "http": with_static_files(django_app),
            "websocket": URLRouter(websocket_urlpatterns),
        }
    )
)
