"""Who is connected to this process, and who of them subscribed to which key."""

from __future__ import annotations

from collections.abc import Iterable

from realtime.subscriber import Subscriber


class Directory:
    """The hub's clients, by key: the keys are those of ``topics.py``. Used on the event loop only."""

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        #: None is empty: a key goes with the last who subscribed to it. The hub reads it with each event.
        self.by_key: dict[str, set[Subscriber]] = {}

    def attach(self, subscriber: Subscriber) -> None:
        """Know a client; it is offered the events of the keys it subscribes to."""
        self.subscribers.add(subscriber)

    def detach(self, subscriber: Subscriber) -> None:
        """Forget a client and all its subscriptions; safe to call twice."""
        self.unsubscribe(subscriber, list(subscriber.keys))
        self.subscribers.discard(subscriber)

    def subscribe(self, subscriber: Subscriber, keys: Iterable[str]) -> None:
        """Offer the client the events of ``keys`` from now on."""
        for key in keys:
            self.by_key.setdefault(key, set()).add(subscriber)
            subscriber.keys.add(key)

    def unsubscribe(self, subscriber: Subscriber, keys: Iterable[str]) -> None:
        """Offer the client the events of ``keys`` no longer."""
        for key in keys:
            subscriber.keys.discard(key)
            members = self.by_key.get(key)
            if members is not None:
                members.discard(subscriber)
                if not members:
                    del self.by_key[key]
