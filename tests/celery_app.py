"""A project's Celery app, as a project writes it, and the tasks that its tests run."""

from __future__ import annotations

import os
import time
from typing import Any

from celery import Celery
from celery.exceptions import Ignore
from django.apps import apps

from realtime.integrations.celery import current_task_status, install

app = Celery("shop", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_publish_retry=False,
    broker_transport_options={"max_retries": 1, "socket_connect_timeout": 1},
    task_default_queue="prefork",
    result_extended=True,
    worker_prefetch_multiplier=1,
)
EXCLUDE = ["celery.*", "*.secret_*"]
install(app, exclude=EXCLUDE)


@app.task
def import_orders(rows: int) -> dict[str, int]:
    """Report each row."""
    for done in range(rows):
        current_task_status().report(done=done + 1, total=rows)
    return {"rows": rows}


@app.task
def break_down() -> None:
    """Fail with a text that its owner must not read."""
    raise ValueError("customer 7 has no address")


@app.task(bind=True, max_retries=3)
def third_time_lucky(self: Any) -> str:
    """Succeed at the third attempt."""
    current_task_status().report(50)
    try:
        if self.request.retries < 2:
            raise ConnectionError("shop.example is away")
    except ConnectionError as error:
        raise self.retry(exc=error, countdown=0.1) from error
    return "at last"


def in_its_queue(task: Any, signature: Any) -> Any:
    """Celery publishes what a task calls, and what replaces it, to the default queue; a worker reads one."""
    return signature.set(queue=task.request.delivery_info["routing_key"])


def is_there(name: str) -> bool:
    """Tell whether there is a row of that name; a project's Celery app is loaded before its models."""
    return bool(apps.get_model("realtime", "Task").objects.filter(name=name).exists())


@app.task
def wait_for(name: str) -> str:
    """Report in which process this is until the row of that name is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        current_task_status().report(message=str(os.getpid()))
        if is_there(name):
            return "found"
        time.sleep(0.05)
    raise TimeoutError(name)


@app.task(bind=True)
def step_by_step(self: Any) -> None:
    """Report each step when it is told to."""
    for percent in (25, 50, 75, 100):
        deadline = time.monotonic() + 60
        while not is_there(f"step {percent} of {self.request.id}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        current_task_status().report(percent)


@app.task(acks_late=True, reject_on_worker_lost=True, bind=True)
def survive(self: Any) -> str:
    """Run until killed; when it is delivered again, succeed."""
    if self.request.delivery_info.get("redelivered"):
        return "again"
    return wait_for("never")


@app.task(bind=True)
def hand_over(self: Any, rows: int) -> None:
    """Let another task run in its place."""
    raise self.replace(in_its_queue(self, import_orders.s(rows)))


@app.task(bind=True)
def hand_over_to_a_chain(self: Any, rows: int) -> None:
    """Let other tasks run in its place, one after the other; of the last is the result."""
    first, last = import_orders.si(1) if rows else break_down.si(), import_orders.si(rows)
    raise self.replace(in_its_queue(self, first) | in_its_queue(self, last))


@app.task(bind=True)
def call_another(self: Any) -> None:
    """Publish a task: it belongs to whom this one belongs."""
    in_its_queue(self, import_orders.s(1)).delay()


@app.task
def shrug() -> None:
    """Say nothing of how it ended."""
    raise Ignore


@app.task
def secret_errand() -> None:
    """Nobody follows it."""
