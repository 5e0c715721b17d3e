"""Settings of the suite: the project's, with SQLite as ``default`` and a real ``postgres`` beside it."""

import dj_database_url

from project.settings import *  # noqa: F403
from tests.kit.reaper import workspace
from tests.kit.services import postgres

# First: a model of a project's may be live whatever stands before it.
INSTALLED_APPS = ["tests.orders", *INSTALLED_APPS]  # noqa: F405
SECRET_KEY = "for the tests only, long enough for HMAC with SHA-256"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {
    "default": {
        **DATABASES["default"],  # noqa: F405
        "NAME": workspace() / "suite.sqlite3",
        # A file, as in production: every thread and process has a connection of its own.
        "TEST": {"NAME": workspace() / "suite-test.sqlite3"},
    },
    "postgres": dj_database_url.parse(postgres().create_database()),
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REALTIME = {}
DATABASE_ROUTERS = ["tests.router.ActiveRouter"]
