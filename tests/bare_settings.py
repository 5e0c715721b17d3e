"""The project without its logging: Django's and the servers' own, as in a project that has set none."""

from project.settings import *  # noqa: F403

LOGGING: dict[str, object] = {}
