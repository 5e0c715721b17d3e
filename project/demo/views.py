"""The demonstration's page, and the access token that its live connection needs."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST
from rest_framework_simplejwt.tokens import AccessToken


@never_cache  # the page carries a token
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """The page “my tasks, moving”."""
    connection = {
        "path": "/ws",
        "token": _access_token(request),
        "tokenUrl": reverse("demo-token"),
    }
    return render(request, "demo/index.html", {"connection": connection})


@never_cache
@require_POST  # so that the CSRF check applies
def token(request: HttpRequest) -> JsonResponse:
    """A new access token for the user of the session; 401 when there is none."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "not_authenticated"}, status=401)
    return JsonResponse({"token": _access_token(request)})


def _access_token(request: HttpRequest) -> str:
    return str(AccessToken.for_user(cast(AbstractBaseUser, request.user)))
