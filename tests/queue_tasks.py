"""Tasks of a project, as Django's tasks are written."""

from __future__ import annotations

from django_tasks import task

from realtime.integrations.tasks import current_task_status
from realtime.models import Task


@task
def import_orders(rows: int) -> dict[str, int]:
    """Report each row."""
    for _ in range(rows):
        current_task_status().advance()
    return {"rows": rows}


@task
async def build_report() -> str:
    """Report from a coroutine."""
    await current_task_status().areport(50, message="half")
    return "built"


@task
def break_down() -> None:
    """Fail with a text that its owner must not read."""
    raise ValueError("customer 7 has no address")


@task
def is_stopped() -> None:
    """Be cancelled by somebody in the middle."""
    status = current_task_status()
    Task.objects.get(pk=status.pk).cancel()
    status.report(10)


@task
def call_another() -> None:
    """Enqueue another: it belongs to whom this one belongs."""
    import_orders.enqueue(1)
