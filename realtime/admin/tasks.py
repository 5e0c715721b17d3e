"""Tasks in the admin: watch them, find them, rename them, give them away, cancel and retry them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from realtime.admin import bar, display, figures, history
from realtime.admin.actions import DEEDS, Deed, allowed, forecast
from realtime.admin.listing import BoundedAdmin, ChoiceFilter
from realtime.admin.search import SEARCH_LIMIT, find
from realtime.exceptions import IllegalTransition
from realtime.models import Task
from realtime.permissions import ADD_TASK, CHANGE_TASK, VIEW_EVENTS, may, may_view_all
from realtime.templatetags.realtime import STALE_AFTER

#: How many tasks a message names, of those that were skipped for one reason.
NAMED = 5


@admin.register(Task)
class TaskAdmin(BoundedAdmin):
    """Only name and owner can be edited; the status moves by the task's own methods, as everywhere."""

    ordering = ("-created_at", "-id")
    sortable_by = ("created",)
    list_display = ("name", "status_shown", "owner", "progress_shown", "created", "started", "lasted")
    list_select_related = ("owner",)
    list_defer = figures.LARGE
    list_filter = (("status", ChoiceFilter), "created_at")
    list_choice = "status"
    list_lookups = frozenset({"status__exact", "created_at__gte", "created_at__lt"})
    search_fields = ("name",)
    search_help_text = (
        "The beginning of a name (capital letters matter), an owner's whole username, or a task's id."
    )
    actions = ("cancel_selected", "retry_selected", "fail_selected")
    change_list_template = "admin/realtime/task/change_list.html"
    change_form_template = "admin/realtime/task/change_form.html"
    raw_id_fields = ("owner",)
    fieldsets = (
        (None, {"fields": ("name", "owner", "id", "retry_of_text")}),
        ("Outcome", {"fields": ("error", "result_text")}),
        (
            "Times",
            {
                "classes": ("collapse",),  # the timeline tells them in words
                "fields": (
                    *("created", "began", "updated", "finished", "asked_to_stop", "lease_ends"),
                    "version",
                ),
            },
        ),
    )
    readonly_fields = (
        *("id", "retry_of_text", "error", "result_text", "traceback_text"),
        *("created", "began", "updated", "finished", "asked_to_stop", "lease_ends", "version"),
    )

    created = display.time_column("created_at", "created at")
    began = display.time_column("started_at", "started at")
    updated = display.time_column("updated_at", "updated at")
    finished = display.time_column("finished_at", "finished at")
    asked_to_stop = display.time_column("cancel_requested_at", "asked to stop at")
    lease_ends = display.time_column("lease_expires_at", "lease ends at")

    # -- what is shown ------------------------------------------------------------------------

    @admin.display(description="Status")
    def status_shown(self, task: Task) -> str:
        """Return the status as an icon and a word."""
        return display.status(task)

    @admin.display(description="Progress")
    def progress_shown(self, task: Task) -> str:
        """Return the progress as a bar and in words."""
        return display.progress(task)

    @admin.display(description="Started")
    def started(self, task: Task) -> str:
        """Return when it started."""
        return display.moment(task.started_at)

    @admin.display(description="Duration")
    def lasted(self, task: Task) -> str:
        """Return how long it has been running, or ran."""
        return display.lasted(task)

    @admin.display(description="Retry of")
    def retry_of_text(self, task: Task) -> str:
        """Return the id of the task that this one retries; that task may be gone."""
        return str(task.retry_of_id or "–")

    @admin.display(description="Result")
    def result_text(self, task: Task) -> str:
        """Return the result as indented JSON."""
        if task.result is None:
            return "–"
        text = json.dumps(task.result, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
        return format_html('<pre class="rt-code" tabindex="0">{}</pre>', text)

    @admin.display(description="Traceback")
    def traceback_text(self, task: Task) -> str:
        """Return the traceback as it was written."""
        return format_html('<pre class="rt-code" tabindex="0">{}</pre>', task.traceback or "–")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the traceback to those only who may change the task: it may quote what it worked on."""
        fieldsets = super().get_fieldsets(request, obj)
        if not self.has_change_permission(request, obj):
            return fieldsets
        return (*fieldsets, ("For staff only", {"fields": ("traceback_text",)}))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by index, and say so when there is more than can be shown."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found, more = find(queryset, term)
        if more and request.method == "GET":
            text = f"Only {SEARCH_LIMIT:,} of the tasks found are shown: search for more of the name."
            self.message_user(request, text, messages.WARNING)
        return found, False

    # -- who may what -------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A task begins where its work is started, not in a form."""
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may cancel any task, or give it up."""
        return may(request.user, CHANGE_TASK)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may create tasks, and so retry one."""
        return may(request.user, ADD_TASK)

    # -- pages --------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """Add what the list reads again: the counts by status, and rows that it has not been told of."""
        wrap = self.admin_site.admin_view
        return [
            path("counts/", wrap(self.counts_view), name="realtime_task_counts"),
            path("rows/", wrap(self.rows_view), name="realtime_task_rows"),
            *super().get_urls(),
        ]

    def counts_view(self, request: HttpRequest) -> JsonResponse:
        """Answer how many tasks there are by status, as they are written."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return JsonResponse({count.status: count.text for count in figures.counts()})

    def rows_view(self, request: HttpRequest) -> JsonResponse:
        """Answer the tasks ``?id=…&id=…``, a page of them at most."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return JsonResponse(figures.rows(request.GET.getlist("id")[: self.list_per_page]))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Add the counts, and what the page needs to go on by itself."""
        if request.method == "GET" and self.has_view_permission(request):
            chosen = request.GET.get("status__exact", "")
            extra_context = {
                **(extra_context or {}),
                **self._live(request),
                "counts": [
                    (count, display.badge(count.status), _with_status(request, count.status))
                    for count in figures.counts()
                ],
                "chosen": chosen,
                # Of a search, of an older page and of another order it is not known what would come on top.
                "newest": not set(request.GET) - {"status__exact"},
            }
        return super().changelist_view(request, extra_context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what the task is doing, its past and its last lines, read by their index."""
        if obj := kwargs.get("obj"):
            deeds = [deed for deed in DEEDS.values() if deed.action in self.get_actions(request)]
            context |= {
                **self._live(request),
                **history.of(obj),
                "task_status": display.status(obj),
                "task_progress": display.progress(obj),
                "task_lasted": display.lasted(obj),
                "task_pace": display.pace(obj),
                "stale_after": STALE_AFTER,
                # Without the status, which moves.
                "subtitle": obj.name,
                "deeds": [deed for deed in deeds if allowed(deed, obj)],
                "may_view_events": may(request.user, VIEW_EVENTS),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def _live(self, request: HttpRequest) -> dict[str, Any]:
        """Return what a live page is told; who may not view all tasks would be refused the events."""
        return {**bar.told(), "live": may_view_all(request.user)}

    # -- actions ------------------------------------------------------------------------------

    @admin.action(description="Cancel selected %(verbose_name_plural)s", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Cancel each task that can be; a running one is asked to stop."""
        return self._act(request, queryset, DEEDS["cancel_selected"])

    @admin.action(description="Retry selected %(verbose_name_plural)s", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Make a new pending task of each finished one."""
        return self._act(request, queryset, DEEDS["retry_selected"])

    @admin.action(description="Mark selected %(verbose_name_plural)s as failed", permissions=["cancel"])
    def fail_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Give up each task that has not ended: its worker is gone."""
        return self._act(request, queryset, DEEDS["fail_selected"])

    def _act(self, request: HttpRequest, queryset: QuerySet[Any], deed: Deed) -> HttpResponse | None:
        """Ask first; then do it to each task, in a transaction of its own, and say what came of it."""
        tasks = list(queryset.defer(*self.list_defer))
        if not request.POST.get("post") and tasks:
            context = {
                **self.admin_site.each_context(request),
                **forecast(deed, tasks),
                "title": deed.title,
                "opts": self.opts,
                "back": request.POST.get("back", ""),
            }
            return TemplateResponse(request, "admin/realtime/task/confirm.html", context)
        done: Counter[str] = Counter()
        skipped: dict[str, list[str]] = {}
        last = tasks[0] if tasks else None
        for task in tasks:
            try:
                what, last, entry = deed.do(task)
                done[what] += 1
                (self.log_change if last is task else self.log_addition)(request, last, entry)
            except IllegalTransition as error:
                skipped.setdefault(error.message, []).append(task.name)
            except Task.DoesNotExist:
                skipped.setdefault("It is gone.", []).append(task.name)
        self._tell(request, done, skipped)
        # Asked for on a task's own page: back there, or to the new one.
        if last is not None and request.POST.get("back"):
            return HttpResponseRedirect(reverse("admin:realtime_task_change", args=[last.pk]))
        return None

    def _tell(self, request: HttpRequest, done: Counter[str], skipped: dict[str, list[str]]) -> None:
        if not done and not skipped:
            text = "Nothing was done: none of the tasks is there any more."
            self.message_user(request, text, messages.WARNING)
        for what, count in done.items():
            self.message_user(request, f"{what}: {_tasks(count)}.", messages.SUCCESS)
        for why, names in skipped.items():
            shown = [f"“{Truncator(name).chars(60)}”" for name in names[:NAMED]]
            rest = [f"{len(names) - NAMED:,} more"] * (len(names) > NAMED)
            text = f"Skipped {_tasks(len(names))} ({', '.join(shown + rest)}): {why}"
            self.message_user(request, text, messages.WARNING)


def _with_status(request: HttpRequest, status: str) -> str:
    """Return the query of the list with this status chosen, or left if it is; a search stays."""
    asked = request.GET.copy()
    asked.pop(PAGE_VAR, None)
    left = asked.pop("status__exact", [""])[-1] == status
    if not left:
        asked["status__exact"] = status
    return f"?{asked.urlencode()}"


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"
