"""Celery: each task of a worker is one of ours, with no change in the user's tasks.

    from realtime.integrations.celery import install

    app = Celery("mysite")
    install(app)

Queued is ``pending``, started ``running``, a retry stays ``running`` and says that it waits, success is
``completed`` with the result, failure ``failed``, revoked ``cancelled``. Our id is Celery's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from celery import Celery, signals
from celery.exceptions import Ignore
from django.db.models.signals import post_save

from realtime.current import owned_by
from realtime.exceptions import TaskCancelled
from realtime.integrations.status import current_task_status

__all__ = ["OWNER_HEADER", "current_task_status", "install", "owned_by"]

#: The message header that carries the key of the owner: ``apply_async(headers={"realtime_owner": user.pk})``.
OWNER_HEADER = "realtime_owner"
#: Seconds for one step with the broker when a task is revoked or retried, in the thread that does it.
BROKER_TIMEOUT = 2
#: What bounds a broker that takes the connection and is silent: each transport's own options.
SILENCE = {"redis": ("socket_timeout", "socket_connect_timeout"), "amqp": ("read_timeout", "write_timeout")}

#: Each signal of Celery and the method of the bridge that receives it.
RECEIVERS = {
    "before_task_publish": "publishing",
    "after_task_publish": "published",
    "task_prerun": "starting",
    "task_success": "succeeded",
    "task_failure": "failed",
    "task_postrun": "ran",
    "task_revoked": "revoked",
    "task_unknown": "unknown",
}

Owner = Callable[[str, tuple[Any, ...], dict[str, Any]], Any]


@dataclass
class Options:
    """What ``install()`` was told."""

    app: Celery
    tasks: tuple[str, ...]
    exclude: tuple[str, ...]
    owner: Owner | None

    @cached_property
    def bridge(self) -> Any:
        """What follows the signals. It needs models; a project loads its Celery app before there are any."""
        return import_module("realtime.integrations.celery_signals").Bridge(self)

    def receiver(self, name: str) -> Callable[..., None]:
        """Return what hands a signal to the bridge's method of that name."""

        def receive(**kwargs: Any) -> None:
            del kwargs["signal"]
            getattr(self.bridge, name)(**kwargs)

        return receive

    def before_start(self) -> Callable[..., None]:
        """Return what Celery calls in front of each task that brings no ``before_start`` of its own."""

        def before_start(task: Any, task_id: str, args: Any, kwargs: Any) -> None:
            # Do not run what was cancelled: the broker may have lost the revocation, the row has not.
            if self.bridge.refuses(task_id):
                request, store = task.request, not task.request.ignore_result
                task.backend.mark_as_revoked(task_id, "cancelled", request=request, store_result=store)
                raise Ignore

        return before_start


def install(
    app: Celery,
    *,
    tasks: Iterable[str] = ("*",),
    exclude: Iterable[str] = ("celery.*",),
    owner: Owner | None = None,
) -> None:
    """Follow the tasks of this app from now on; in each process that publishes or runs them.

    ``tasks`` and ``exclude`` are patterns of task names, as ``"shop.tasks.*"``. ``owner`` is called with a
    task's name, its args and its kwargs when it is published, and returns a user, the key of one, or None; a
    message header or :func:`owned_by` goes before. A second call takes the place of the first.
    """
    options = Options(app, tuple(tasks), tuple(exclude), owner)
    for signal, method in RECEIVERS.items():
        name = f"realtime.{signal}"
        getattr(signals, signal).disconnect(dispatch_uid=name)
        getattr(signals, signal).connect(options.receiver(method), weak=False, dispatch_uid=name)
    post_save.disconnect(sender="realtime.Task", dispatch_uid="realtime.celery")
    post_save.connect(
        options.receiver("saved"), sender="realtime.Task", weak=False, dispatch_uid="realtime.celery"
    )
    app.Task.before_start = options.before_start()  # type: ignore[method-assign]
    # That somebody cancelled it is no error of the worker's log.
    app.Task.throws = (*(e for e in app.Task.throws if e is not TaskCancelled), TaskCancelled)
