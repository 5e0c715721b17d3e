"""The project as its flow tests observe it: with a page that counts clients, and on demand GZip."""

import os

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.flow_urls"
INSTALLED_APPS = ["tests.orders", *INSTALLED_APPS]  # noqa: F405
if "FLOW_GZIP" in os.environ:
    MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *MIDDLEWARE]  # noqa: F405
# The tests of one user call more often than one client would; the rates have tests of their own.
REST_FRAMEWORK = REST_FRAMEWORK | {  # noqa: F405
    "DEFAULT_THROTTLE_RATES": dict.fromkeys(("realtime-login", "realtime-api"))
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real ones take a fifth of a second
