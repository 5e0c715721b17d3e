"""The project with Django's tasks: the database backend, one that runs at once, and their followers."""

from project.settings import *  # noqa: F403

INSTALLED_APPS = [
    *INSTALLED_APPS,  # noqa: F405
    "django_tasks",
    "django_tasks_db",
    "realtime.integrations.tasks.Tasks",
]
TASKS = {
    "default": {"BACKEND": "django_tasks_db.DatabaseBackend"},
    "at_once": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"},
}
