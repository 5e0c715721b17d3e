"""The HTTP doors, for a project's ``urls.py``: ``path("", include("realtime.urls"))``."""

from django.urls import path, re_path
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from realtime.views import events

app_name = "realtime"

urlpatterns = [
    re_path(r"^events/?$", events, name="events"),
    path("api/token/", TokenObtainPairView.as_view(), name="token"),
    path("api/token/refresh/", TokenRefreshView.as_view(), name="token_refresh"),
]
