"""The demonstration's page and what its forms do; the live connection comes with the session's cookie."""

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from project.demo.jobs import BY_KIND, JOBS
from realtime.exceptions import IllegalTransition
from realtime.models import Task

#: So many tasks of a user wait or run at a time: nobody keeps the worker for himself.
MOST = 8
FULL = f"{MOST} of your tasks wait or run: let one end, or cancel one."


@never_cache  # nobody finds it with the Back button of somebody who has logged out
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """The page “my tasks”."""
    return render(request, "demo/index.html", {"jobs": JOBS})


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Ask for a job, by its kind."""
    job = BY_KIND.get(request.POST.get("job", ""))
    if job is None:
        return _answer(request, "There is no such job.", 400)
    with transaction.atomic():
        if _is_full(request):
            return _answer(request, FULL, 429)
        Task.objects.create(name=job.name, owner=cast(User, request.user))
    return _answer(request)


@require_POST
@login_required
def cancel(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Ask one's own task to stop, from a page without JavaScript."""
    task = get_object_or_404(Task, pk=task_id, owner=request.user)
    try:
        task.cancel()
    except IllegalTransition as error:
        return _answer(request, error.message, 409)
    return _answer(request)


@require_POST
@login_required
def retry(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Try one's own task again, from a page without JavaScript."""
    task = get_object_or_404(Task, pk=task_id, owner=request.user)
    with transaction.atomic():
        if _is_full(request):
            return _answer(request, FULL, 429)
        try:
            task.retry()
        except IllegalTransition as error:
            return _answer(request, error.message, 409)
    return _answer(request)


def _is_full(request: HttpRequest) -> bool:
    """Whether the user has enough tasks; asked one by one, or ten requests at once would all pass."""
    user = User.objects.select_for_update().get(pk=cast(User, request.user).pk)
    active = Task.objects.filter(owner=user, finished_at__isnull=True)
    return active.count() >= MOST


def _answer(request: HttpRequest, problem: str = "", status: int = 201) -> HttpResponse:
    """Back to the page with what went wrong, or to its script the same as JSON."""
    if request.accepts("text/html"):
        if problem:
            messages.error(request, problem)
        return redirect("demo")
    return JsonResponse({"message": problem}, status=status)
