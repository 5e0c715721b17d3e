"""The project as its flow tests observe it: with a page that counts clients, and on demand GZip."""

import os

from project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.flow_urls"
if "FLOW_GZIP" in os.environ:
    MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *MIDDLEWARE]  # noqa: F405
