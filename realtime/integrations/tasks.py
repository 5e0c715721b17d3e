"""Django's own tasks: those of Django 6 (``django.tasks``) and of the package ``django-tasks`` before it.

    INSTALLED_APPS = [..., "realtime", "realtime.integrations.tasks.Tasks"]

Whichever is installed, with whatever backend: ready is ``pending``, running ``running``, successful
``completed`` with what was returned, failed ``failed``. Our id is that of the result, when that is a UUID.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.db.models.signals import post_save

from realtime import current
from realtime.current import owned_by
from realtime.events import PENDING
from realtime.exceptions import TaskCancelled
from realtime.integrations.status import current_task_status

__all__ = ["Tasks", "current_task_status", "install", "owned_by"]

logger = logging.getLogger("realtime.tasks")

#: Where the signals may be; each is listened to that can be imported.
SIGNALS = ("django.tasks.signals", "django_tasks.signals")
#: The database backend: its package, and its model.
DATABASE_QUEUE, RECORD = "django_tasks_db", ("django_tasks_database", "DBTaskResult")
#: How the exceptions are called that mean that somebody stopped the work.
STOPPED = {"TaskCancelled", "KeyboardInterrupt", "CancelledError"}

Owner = Callable[[str, list[Any], dict[str, Any]], Any]


class Tasks(AppConfig):
    """Follows all tasks: an entry of ``INSTALLED_APPS``. To choose, call :func:`install` instead."""

    name = "realtime.integrations.tasks"
    label = "realtime_tasks"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        """Listen."""
        install()


def install(
    *, tasks: Iterable[str] = ("*",), exclude: Iterable[str] = (), owner: Owner | None = None
) -> None:
    """Follow tasks from now on; in each process that enqueues or runs them, from ``AppConfig.ready``.

    ``tasks`` and ``exclude`` are patterns of module paths, as ``"shop.tasks.*"``. ``owner`` is called with a
    task's module path, its args and its kwargs when it is enqueued, and returns a user, the key of one, or
    None; :func:`owned_by` goes before. A second call takes the place of the first. Raises
    ``ImproperlyConfigured`` when there are no tasks to follow.
    """
    modules = [module for name in SIGNALS if (module := _module(name)) is not None]
    if not modules:
        raise ImproperlyConfigured("realtime.integrations.tasks needs Django 6, or the package django-tasks.")
    follower = Follower(tuple(tasks), tuple(exclude), owner)
    for module in modules:
        for name in ("task_enqueued", "task_started", "task_finished"):
            signal, uid = getattr(module, name), f"realtime.{name}"
            signal.disconnect(dispatch_uid=uid)
            signal.connect(getattr(follower, name), weak=False, dispatch_uid=uid)
    post_save.disconnect(sender="realtime.Task", dispatch_uid="realtime.tasks")
    post_save.connect(follower.saved, sender="realtime.Task", weak=False, dispatch_uid="realtime.tasks")


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None


def _harmless(receive: Callable[..., None]) -> Callable[..., None]:
    """Log what a receiver raises: the sender would take it for the end of the task."""

    @wraps(receive)
    def received(self: Follower, task_result: Any, **kwargs: Any) -> None:
        path = task_result.task.module_path
        if not self.follows(path):
            return
        try:
            receive(self, task_result, path)
        except TaskCancelled:
            raise
        except Exception:
            logger.exception("What became of task %s was not written.", task_result.id)

    return received


class Follower:
    """The receivers of the three signals."""

    def __init__(self, tasks: tuple[str, ...], exclude: tuple[str, ...], owner: Owner | None) -> None:
        self._tasks, self._exclude, self._owner = tasks, exclude, owner

    @property
    def _jobs(self) -> Any:
        """What writes the rows: it needs models, and an app's module is loaded before there are any."""
        return import_module("realtime.integrations.jobs")

    def follows(self, path: str) -> bool:
        """Tell whether tasks of this module path are shown."""
        return any(fnmatchcase(path, p) for p in self._tasks) and not any(
            fnmatchcase(path, p) for p in self._exclude
        )

    def saved(self, instance: Any, created: bool = False, **kwargs: Any) -> None:
        """Enqueue what is tried again, as it was: in the queue of the database, where it can be looked up."""
        if created and instance.retry_of_id and instance.status == PENDING and not self._jobs.told_by_queue():
            using = router.db_for_write(type(instance))
            transaction.on_commit(lambda: self._enqueue_again(instance), using=using, robust=True)

    def _enqueue_again(self, task: Any) -> None:
        if not apps.is_installed(DATABASE_QUEUE):
            return
        results: Any = apps.get_model(*RECORD)._default_manager
        known = results.filter(pk=task.retry_of_id).first()
        if known is not None and self.follows(known.task_path):
            names = ("args_kwargs", "priority", "task_path", "queue_name", "backend_name")
            same = {name: getattr(known, name) for name in names}
            results.create(pk=task.pk, run_after=None, **same)

    def _owner_of(self, path: str, task_result: Any) -> Any:
        owner = current.current_owner()
        if owner is None and self._owner is not None:
            owner = self._owner(path, task_result.args, task_result.kwargs)
        return current.owner_key(owner)

    @_harmless
    def task_enqueued(self, task_result: Any, path: str) -> None:
        """Show it as pending: in the caller's transaction if the queue is a table, else at its commit."""
        owner = self._owner_of(path, task_result)
        name, at_once = self._jobs.readable(path), hasattr(task_result, "db_result")
        self._jobs.queued(task_result.id, name, owner, at_once=at_once)

    @_harmless
    def task_started(self, task_result: Any, path: str) -> None:
        """Set it running; one that was cancelled is not run: raises ``TaskCancelled`` into the worker."""
        owner = self._owner_of(path, task_result)
        if not self._jobs.started(task_result.id, self._jobs.readable(path), owner):
            self._jobs.left(task_result.id)
            raise TaskCancelled

    @_harmless
    def task_finished(self, task_result: Any, path: str) -> None:
        """End it as it ended."""
        try:
            if not task_result.errors:
                self._jobs.completed(task_result.id, task_result.return_value)
                return
            error = task_result.errors[-1]
            kind = error.exception_class_path.rpartition(".")[2]
            if kind in STOPPED:
                self._jobs.cancelled(task_result.id)
            else:
                self._jobs.failed(task_result.id, f"The work ended with {kind}.", error.traceback)
        finally:
            self._jobs.left(task_result.id)
