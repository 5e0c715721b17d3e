"""A page that uses the template tags."""

from __future__ import annotations

from typing import Any

from django.template import Context, Template
from django.test import RequestFactory


def render(text: str, user: Any = None, **names: Any) -> str:
    """Render a template with the tags loaded, for a request of that user."""
    request = RequestFactory().get("/")
    if user is not None:
        request.user = user
    rendered: str = Template("{% load realtime %}" + text).render(Context({"request": request, **names}))
    return rendered
