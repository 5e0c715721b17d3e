"""The delivery loop: attach, replay from the cursor, then live; for both transports, and the only one.

First connect, reconnect, overflow and gap are one case: whoever is behind goes back to the ring, or to
the log if that is older, and follows the hub again from there.
"""

from __future__ import annotations

from realtime import metrics
from realtime.conf import conf
from realtime.events import BROADCAST
from realtime.exceptions import SLOW_CONSUMER, TOKEN_EXPIRED, Refused
from realtime.protocol.delivery import Delivery, Payload, frame_of
from realtime.stream.connection import Connection


class Stream(Connection):
    """A connection being served.

    A door calls :meth:`next` for the next frames, sends them, and calls it again; :meth:`close` in the
    end.
    """

    async def next(self) -> list[Payload]:
        """Return the next frames to send, at least one; an empty list when the stream has ended.

        Raises ``Refused`` when the client may not stay.
        """
        while not self.ended:
            if self._refusal is None:
                self._work()
            if self._out:
                break
            if self._refusal is not None:
                raise self._refusal
            if self._may_wait():
                await self.subscriber.wait(buffered=self.caught_up, behind=not self._window.shut)
        out, self._out, self._complaints = self._out, [], 0
        self.figures.sent += len(out)
        return out

    def _work(self) -> None:
        window = self._window
        if not window.shut:
            if self.caught_up:
                self._live()
            else:
                self._replay()
        if not window.shut:
            self.commands.serve()
        if window.shut and window.untold:
            # The pong that opens it again.
            self._out.append(self._encode(self.ping()))
        if self._timers.rung:
            self._tick()

    def _may_wait(self) -> bool:
        """Whether nothing can be done before something wakes the stream."""
        if self.ended or self._refusal is not None:
            return False
        return self._window.shut or self.caught_up or self._missed.reading

    def _live(self) -> None:
        for delivery in self.subscriber.take():
            self._deliver(delivery)
            if self.subscriber.behind:
                # A subscription ended, or the buffer ran over: the rest is read again.
                return

    def _replay(self) -> None:
        """Send some of what comes after the cursor, at most about a buffer's bytes."""
        subscriber = self.subscriber
        if subscriber.behind:
            # From here on live events are buffered; what came before is read below.
            subscriber.catch_up()
            self._missed.begin()
        step = self._missed.step(self.cursor, tuple(subscriber.keys), self.viewer)
        if step is None:
            return
        if isinstance(step, str):
            self.reset(step)
            return
        room = conf.BUFFER_BYTES
        for delivery in step.deliveries:
            if room <= 0:
                return
            self._deliver(delivery)
            room -= delivery.size
            if subscriber.behind:
                return
        self.cursor = max(self.cursor, step.upto)
        if self.cursor >= self.hub.position:
            self._missed.end()

    def _deliver(self, delivery: Delivery) -> None:
        """Send one event, unless the client has it already."""
        event = delivery.event
        if event.position <= self.cursor:
            return
        self.cursor = event.position
        if delivery.is_line:
            # No snapshot holds lines, so none is left out.
            self._put(delivery.encoded(self._encode), delivery.size)
            self._timers.sent_event()
            return
        if not delivery.is_task:
            if event.topic:
                self._tell(delivery)
            else:
                self._notice(delivery)
            return
        held = self.held.states
        if event.version <= held.get(event.task_id, 0):
            return
        held.pop(event.task_id, None)
        removed = bool(event.previous_owner) and self.viewer.loses(event)
        self._put(delivery.encoded(self._encode, removed), delivery.size)
        self._timers.sent_event()
        if (removed or delivery.final) and event.task_id in self.subscriptions.task_ids:
            self.done(event.task_id)
            self.end_if_done()

    def _tell(self, delivery: Delivery) -> None:
        topic = delivery.event.topic
        # What was being read when the right was withdrawn still holds events of the topic.
        if topic in self.subscriptions.topics and delivery.position > self.held.states.get(topic, 0):
            self._put(delivery.encoded(self._encode), delivery.size)
            self._timers.sent_event()

    def _notice(self, delivery: Delivery) -> None:
        event, held = delivery.event, self.held
        if delivery.position in held.unnumbered or (event.kind == BROADCAST and not held.note(event)):
            return
        if self.acknowledged or self.resuming:
            self._put(delivery.encoded(self._encode), delivery.size)
        else:
            self.write(frame_of(event, with_id=False))
        self._timers.sent_event()

    def _tick(self) -> None:
        for frame in self._timers.due(self):
            self._out.append(frame if isinstance(frame, bytes) else self._encode(frame))
        if self.viewer.expires_at is not None and self.viewer.expires_at <= self._timers.wall():
            self.refuse(Refused(TOKEN_EXPIRED))
        if self._timers.gone_silent():
            if self._window.shut:
                metrics.STUCK.labels(self.caller.transport).inc()
            self.refuse(Refused(SLOW_CONSUMER))
        if self._timers.too_old():
            self.ended = True
