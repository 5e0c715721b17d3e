"""The demonstration as a Django app."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Its label is short: `project.demo` is where it lives, `demo` what it is called."""

    name = "project.demo"
    label = "demo"
