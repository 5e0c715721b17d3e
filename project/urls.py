"""Addresses of the project; those of the app keep their fixed places at the root."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from project.demo import views

urlpatterns = [
    path("", views.index, name="demo"),
    path("tasks/", views.start, name="demo_start"),
    path("tasks/<uuid:task_id>/cancel/", views.cancel, name="demo_cancel"),
    path("tasks/<uuid:task_id>/retry/", views.retry, name="demo_retry"),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("", include("realtime.urls")),
]
