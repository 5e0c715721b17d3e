"""A project's own topics: each a class that says who may see it and how things are.

>>> @register
... class Orders(Topic):
...     name = "order"
...
...     def allows(self, user, key):
...         return Order.objects.filter(pk=key, customer=user).exists()

They are found in each installed app's module ``realtime_topics``, or wherever else is imported at the start.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any, ClassVar, NamedTuple, TypeVar

from realtime.topics import is_name, is_own, split


class Topic:
    """Topics of one kind: ``order.42``, ``order.43``. One instance serves all requests, in many threads.

    What the methods raise is a no: it is logged, unless it says that there is no such thing
    (``ObjectDoesNotExist``, ``ValueError``, ``ValidationError``).
    """

    #: What stands before the dot: a small letter, then at most 31 small letters, digits or ``_``.
    name: ClassVar[str] = ""
    #: Whether there are many of them, each with a key. If not, the topic is the name alone.
    keyed: ClassVar[bool] = True

    def allows(self, user: Any, key: str) -> bool:
        """Tell whether a user may see the topic with this key; "" where there are no keys.

        Asked at every subscribe, and again every few seconds while somebody is subscribed. ``key`` comes from
        the client: letters, digits, ``_`` and ``-``, at most 64. Only ``True`` is a yes.
        """
        return False

    def snapshot(self, key: str) -> dict[str, Any] | None:
        """Return how things are now, for who begins to watch; None when the events tell enough.

        The same for everybody who may see the topic.
        """
        return None


class Registered(NamedTuple):
    """A topic as it was registered, and the instance of it that serves."""

    kind: type[Topic]
    topic: Topic


T = TypeVar("T", bound=type[Topic])

#: In the order in which they came, for the system check: also those with a bad name, or with another's.
registered: list[Registered] = []
_by_name: dict[str, Topic] = {}


def register(kind: T) -> T:
    """Make a topic known; for use as a decorator. Of two with one name the first stays, and checks tell.

    Raises ``TypeError`` for methods that are ``async``: what they return would be taken for a yes.
    """
    if iscoroutinefunction(kind.allows) or iscoroutinefunction(kind.snapshot):
        raise TypeError(f"allows and snapshot of {kind.__qualname__} run in threads: they cannot be async.")
    if all(kind is not known.kind for known in registered):
        topic = kind()
        registered.append(Registered(kind, topic))
        if is_name(kind.name):
            _by_name.setdefault(kind.name, topic)
    return kind


def unregister(kind: type[Topic]) -> None:
    """Make a topic unknown again: for tests."""
    registered[:] = [known for known in registered if known.kind is not kind]
    _by_name.clear()
    for known in registered:
        if is_name(known.kind.name):
            _by_name.setdefault(known.kind.name, known.topic)


def find(topic: str) -> tuple[Topic, str] | None:
    """Return what serves a topic as a client names it, and its key; None when nothing does."""
    name, key = split(topic)
    found = _by_name.get(name) if is_own(topic) else None
    return (found, key) if found is not None and found.keyed == bool(key) else None
