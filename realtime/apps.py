"""The Django app: registers the system checks and the signal receivers."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class RealtimeConfig(AppConfig):
    """Live task status, installed as ``"realtime"`` in ``INSTALLED_APPS``."""

    name = "realtime"
    verbose_name = "Live task status"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import the modules whose import registers checks, receivers and the project's own topics."""
        from realtime import checks, signals, topic_checks  # noqa: F401 (Django's own place for it)

        autodiscover_modules("realtime_topics")
