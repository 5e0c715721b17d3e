"""A change that fails leaves the instance as it was: what it says of itself must be what is so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from realtime.models import lease

if TYPE_CHECKING:
    from realtime.models.task import Task


@contextmanager
def unchanged_if_it_fails(task: Task) -> Iterator[None]:
    """Give the task's fields the values again that they had, whatever ends the block, its COMMIT included.

    A worker whose task said that it is finished, while its row is not, could end it no more; nor would
    anybody renew its lease.
    """
    names = {field.attname for field in task._meta.concrete_fields} | {"_loaded", "_uncommitted"}
    before = {name: value for name, value in task.__dict__.items() if name in names}
    if "_loaded" in before:
        before["_loaded"] = dict(before["_loaded"])
    try:
        yield
    except BaseException:
        for name in names & task.__dict__.keys() - before.keys():
            del task.__dict__[name]
        task.__dict__.update(before)
        if task._working and before.get("lease_expires_at") is not None:
            # It may have been looked at while it said that it was finished.
            lease.keep(task)
        raise
