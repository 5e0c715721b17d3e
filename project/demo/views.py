"""The demonstration's page; its live connection comes with the cookie of the session."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache


@never_cache  # nobody finds it with the Back button of somebody who has logged out
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """The page “my tasks, moving”."""
    return render(request, "demo/index.html")
