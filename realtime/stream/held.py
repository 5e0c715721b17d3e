"""What a client has already: of its snapshots and its notices, nothing is sent a second time."""

from __future__ import annotations

from realtime.conf import conf
from realtime.events import LogEvent
from realtime.topics import MINE, TASKS, Subscriptions


class Held:
    """What one connection was sent other than as the log's next event. ``position`` is where it begins."""

    __slots__ = ("_began_at", "_noticed", "states", "unnumbered")

    def __init__(self, position: int) -> None:
        #: What snapshots contained, versions of tasks and positions of topics: no event up to it is sent.
        self.states: dict[str, int] = {}
        #: Positions before the first resume: all broadcasts there were sent, without an id.
        self.unnumbered = range(0)
        #: The latest broadcasts that were sent, live or as notices: none of them again.
        self._noticed: dict[str, None] = {}
        self._began_at = position

    def hold(self, name: str, upto: int) -> None:
        """Send no event of a task up to this version, of a topic up to this position: a snapshot has them."""
        self.states[name] = upto

    def forget(self, gone: Subscriptions, left: Subscriptions) -> None:
        """Forget what subscriptions that end have shown, as far as those that are left do not show it."""
        # These show other tasks too; else nobody needs those: who walks through many must not grow.
        shown = MINE in left.topics or TASKS in left.topics
        for name in gone.topics if shown else self.states.keys() - left.task_ids.keys() - left.topics.keys():
            self.states.pop(name, None)

    def note(self, event: LogEvent) -> bool:
        """Remember that a broadcast is being sent; tell whether it is for the first time.

        A snapshot may hold one whose event is still to come, or has just been sent.
        """
        noticed = self._noticed
        broadcast_id = str(event.data.get("broadcast_id", ""))
        if broadcast_id in noticed:
            return False
        noticed[broadcast_id] = None
        if len(noticed) > 2 * conf.SNAPSHOT_LIMIT:
            # A snapshot shows half as many, the newest.
            del noticed[next(iter(noticed))]
        return True

    def forget_notices(self) -> None:
        """Send the notices again: the client asks for them."""
        self._noticed.clear()

    def resume(self, position: int) -> None:
        """Send no broadcast again that was sent on this connection, which has come to ``position``."""
        self.unnumbered = range(self._began_at + 1, position + 1)

    def restart(self, position: int) -> None:
        """Hold nothing: the client forgets all, and begins again at ``position``."""
        self.states.clear()
        self._noticed.clear()
        self._began_at = position
