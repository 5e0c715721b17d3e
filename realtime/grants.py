"""Who may subscribe to which of a project's own topics: asked of the project, for many at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import InterfaceError, OperationalError

from realtime import registry

logger = logging.getLogger("realtime.topics")

R = TypeVar("R")

#: What a project's code raises of a key that is none: a number is asked for and it is a word.
NO_SUCH_THING = (ObjectDoesNotExist, ValidationError, ValueError, OverflowError)

#: A user's id as text, and a topic.
Pair = tuple[str, str]


def granted(pairs: Collection[Pair]) -> set[Pair]:
    """Return those pairs whose user is active and may see the topic. Reads the database."""
    known = {pair: found for pair in pairs if (found := registry.find(pair[1])) is not None}
    if not known:
        return set()
    model = get_user_model()
    users = {str(u.pk): u for u in model._default_manager.filter(pk__in={user_id for user_id, _ in known})}
    return {
        (user_id, topic)
        for (user_id, topic), (served, key) in known.items()
        if (user := users.get(user_id)) is not None
        and getattr(user, "is_active", True)
        and asked(topic, _allows, served, user, key)
    }


def _allows(served: registry.Topic, user: Any, key: str) -> bool:
    # A queryset that finds something, or a coroutine, is true as well, and seldom meant so.
    if not isinstance(answer := served.allows(user, key), bool):
        raise TypeError(f"allows returns True or False, not {type(answer).__name__}.")
    return answer


def asked(topic: str, ask: Callable[..., R], *arguments: Any) -> R | None:
    """Ask the project's own code; None when it fails.

    A database that cannot be reached, or takes too long (``statement_timeout``), is no answer: that is
    raised, for the caller to ask again or to refuse.
    """
    try:
        return ask(*arguments)
    except NO_SUCH_THING:
        logger.debug("There is no topic %s.", topic, exc_info=True)
    except (InterfaceError, OperationalError):
        raise
    except Exception:
        logger.exception("The topic %s could not be asked.", topic)
    return None
