"""The project as the fault kit runs it: with a channel layer that fails when it is told to."""

from project.settings import *  # noqa: F403

# The same Redis and the same layer, behind a wire that can be bent.
CHANNEL_LAYERS["default"]["BACKEND"] = "tests.faults.layer.FaultyLayer"  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real ones take a fifth of a second
