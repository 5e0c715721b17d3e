"""Views outside of the transactions that ``ATOMIC_REQUESTS`` puts around a project's requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connections, transaction

View = TypeVar("View", bound=Callable[..., Any])


def outside_transactions(view: View) -> View:
    """Let a view run in no transaction of its request, whichever of the project's databases ask for one.

    Django answers 500 for an async view that is to run in one. Other views of ours need it that must be seen
    by others before they answer.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view
