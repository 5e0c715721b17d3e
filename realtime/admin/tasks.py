"""Tasks in the admin: find them, rename them, give them away, cancel and retry them, see their past."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator

from realtime.admin.listing import BoundedAdmin, ChoiceFilter, along
from realtime.admin.search import SEARCH_LIMIT, find
from realtime.events import CANCELLED, RUNNING, TASK_LOG
from realtime.exceptions import IllegalTransition
from realtime.models import Event, Task

#: How many events a task's page shows, the newest.
HISTORY = 100
#: How many tasks a message names, of those that were skipped for one reason.
NAMED = 5

_FIELDS = ("position", "kind", "created_at", "data__status", "data__progress", "data__message")


@admin.register(Task)
class TaskAdmin(BoundedAdmin):
    """Only name and owner can be edited; the status moves by the task's own methods, as everywhere."""

    ordering = ("-created_at", "-id")
    sortable_by = ("created_at",)
    list_display = ("name", "status", "owner", "progress_text", "created_at", "finished_at")
    list_select_related = ("owner",)
    list_defer = ("message", "result", "error", "traceback")
    list_filter = (("status", ChoiceFilter), "created_at")
    list_choice = "status"
    list_lookups = frozenset({"status__exact", "created_at__gte", "created_at__lt"})
    search_fields = ("name",)
    search_help_text = "The beginning of a name (A is not a), an owner's whole username, or a task's id."
    actions = ("cancel_selected", "retry_selected")
    change_form_template = "admin/realtime/task/change_form.html"
    raw_id_fields = ("owner",)
    fieldsets = (
        (None, {"fields": ("name", "owner", "id", "retry_of_text")}),
        ("State", {"fields": ("status", "progress_text", "message", "error", "result")}),
        (
            "Times",
            {
                "fields": (
                    "created_at",
                    "started_at",
                    "updated_at",
                    "finished_at",
                    "cancel_requested_at",
                    "lease_expires_at",
                    "version",
                )
            },
        ),
    )
    readonly_fields = (
        *("id", "retry_of_text", "status", "progress_text", "message", "error", "result", "traceback"),
        *("created_at", "started_at", "updated_at", "finished_at", "cancel_requested_at"),
        *("lease_expires_at", "version"),
    )

    @admin.display(description="Progress")
    def progress_text(self, task: Task) -> str:
        """Return the progress in words: percent, how many of how many, and the phase."""
        count = f"{task.done:,} of {task.total:,}" if task.total is not None else ""
        if task.total is None and task.done:
            count = f"{task.done:,}"
        return " · ".join(part for part in (f"{task.progress} %", count, task.phase) if part)

    @admin.display(description="Retry of")
    def retry_of_text(self, task: Task) -> str:
        """Return the id of the task that this one retries; that task may be gone."""
        return str(task.retry_of_id or "")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the traceback to those only who may change the task: it may quote what it worked on."""
        fieldsets = super().get_fieldsets(request, obj)
        if not self.has_change_permission(request, obj):
            return fieldsets
        return (*fieldsets, ("For staff only", {"fields": ("traceback",)}))

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

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A task begins where its work is started, not in a form."""
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may cancel any task."""
        return request.user.has_perm("realtime.change_task")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may create tasks, and so retry one."""
        return request.user.has_perm("realtime.add_task")

    @admin.action(description="Cancel selected %(verbose_name_plural)s", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Cancel each task that can be; a running one is asked to stop."""

        def cancel(task: Task) -> str:
            if task.status == CANCELLED or (task.status == RUNNING and task.cancel_requested_at):
                raise IllegalTransition(message="It has been cancelled before.")
            task.cancel()
            self.log_change(request, task, "Cancelled.")
            return "Cancelled" if task.status == CANCELLED else "Asked to stop"

        self._each(request, queryset, cancel)

    @admin.action(description="Retry selected %(verbose_name_plural)s", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Make a new pending task of each finished one."""

        def retry(task: Task) -> str:
            self.log_addition(request, task.retry(), f"Retry of {task.pk}.")
            return "Retried"

        self._each(request, queryset, retry)

    def _each(self, request: HttpRequest, queryset: QuerySet[Any], do: Callable[[Task], str]) -> None:
        """Do it to each task, in a transaction of its own; say what was done, what not, and why."""
        done: Counter[str] = Counter()
        skipped: dict[str, list[str]] = {}
        for task in queryset.defer(*self.list_defer):
            try:
                done[do(task)] += 1
            except IllegalTransition as error:
                skipped.setdefault(error.message, []).append(task.name)
            except Task.DoesNotExist:
                skipped.setdefault("It is gone.", []).append(task.name)
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

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the task's newest events, read by their index; of their data only what is shown."""
        if obj := kwargs.get("obj"):
            events = along(Event.objects.exclude(kind=TASK_LOG), "-task_id", str(obj.pk), "-position")
            rows = list(events.values(*_FIELDS)[: HISTORY + 1])
            context |= {
                "task_events": rows[:HISTORY],
                "task_events_more": len(rows) > HISTORY,
                "may_view_events": request.user.has_perm("realtime.view_event"),
            }
        return super().render_change_form(request, context, *args, **kwargs)


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"
