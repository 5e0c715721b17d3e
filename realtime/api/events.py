"""``/api/events/``: the events of a stream for those who poll, with the same cursor and the same frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import grants, log, replay, snapshots
from realtime.api import answers, listing
from realtime.api.answers import EventList, position_header, positioned
from realtime.api.base import RealtimeView, viewer
from realtime.api.parameters import Parameters, as_uuid, wrong
from realtime.api.schema import describe, error
from realtime.conf import conf
from realtime.events import OF_TASKS, TASK_KINDS, LogEvent, Viewer, now
from realtime.exceptions import (
    FORBIDDEN,
    INVALID_PARAMETER,
    NOT_FOUND,
    THROTTLED,
    TOO_MANY_SUBSCRIPTIONS,
    InvalidValue,
    Refused,
)
from realtime.models import Event
from realtime.protocol import client, server
from realtime.protocol.delivery import frame_of
from realtime.stream.catchup import EXPIRED, TOO_FAR_BEHIND, UNKNOWN_POSITION
from realtime.stream.frames import states
from realtime.topics import BROADCASTS, MINE, OWN_PATTERN, TASKS, TOPICS, Subscriptions, is_own

_CURSOR = OpenApiParameter(
    "after",
    str,
    description=(
        "`position` of the answer before. Without it: a snapshot. One of no use: `reset`, and a snapshot."
    ),
)
_LIMIT = OpenApiParameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": replay.PAGE, "default": replay.PAGE}
)


class Poll(NamedTuple):
    """What is asked for: by whom, of what, after which cursor, at most how many."""

    viewer: Viewer
    wanted: Subscriptions
    after: str | None
    limit: int


class Events(RealtimeView):
    """The events of tasks and topics, and all broadcasts."""

    @describe(
        operation_id="list_events",
        parameters=[
            _CURSOR,
            _LIMIT,
            OpenApiParameter(
                "topic",
                {"type": "array", "items": {"type": "string", "pattern": f"^(?:{OWN_PATTERN})$"}},
                description=(
                    f"{', '.join(f'`{topic}`' for topic in TOPICS)}, or one of the site's own, such as "
                    "`order.42`. Neither this nor `task_id`: `mine`."
                ),
            ),
            OpenApiParameter("task_id", UUID, many=True),
            position_header(200),
        ],
        responses={
            200: EventList,
            400: error(400, INVALID_PARAMETER),
            403: error(403, FORBIDDEN),
            404: error(404),
            429: error(429, THROTTLED, TOO_MANY_SUBSCRIPTIONS),
        },
        examples=[answers.EVENTS_EXAMPLE],
    )
    def get(self, request: Request) -> Response:
        """Read what happened after a cursor, or how things are."""
        asked, caller = Parameters(request, ("after", "limit", "topic", "task_id")), viewer(request)
        topics, task_ids = asked.all("topic"), asked.uuids("task_id")
        wanted = Subscriptions(task_ids, topics or ([] if task_ids else [MINE]))
        if len(wanted) > conf.MAX_SUBSCRIPTIONS:
            raise Refused(TOO_MANY_SUBSCRIPTIONS, f"At most {conf.MAX_SUBSCRIPTIONS} tasks and topics.")
        if TASKS in wanted.topics and not caller.view_all:
            raise Refused(FORBIDDEN, "The topic tasks needs the permission realtime.view_task.")
        _check_topics(caller, wanted)
        poll = _poll(asked, caller, wanted)
        if poll.after is None and task_ids and _seen(caller, wanted) < len(wanted.task_ids):
            raise Refused(NOT_FOUND)
        return answer(poll)


def _check_topics(caller: Viewer, wanted: Subscriptions) -> None:
    """Raise ``InvalidValue`` for a topic that is none, and alike for one that the caller may not see."""
    asked = [(caller.user_id, topic) for topic in wanted.own]
    granted = grants.granted([pair for pair in asked if is_own(pair[1])]) if asked else set()
    for pair in asked:
        if pair not in granted:
            raise wrong("topic", f"Unknown topic: {pair[1][:100]}")


class TaskEvents(RealtimeView):
    """The events of one task, and all broadcasts."""

    @describe(
        operation_id="list_task_events",
        parameters=[_CURSOR, _LIMIT, position_header(200)],
        responses={200: EventList, 400: error(400, INVALID_PARAMETER)},
        examples=[answers.EVENTS_EXAMPLE],
    )
    def get(self, request: Request, task_id: str) -> Response:
        """Read what happened to a task after a cursor, or how it is.

        Also of one that is gone, or no longer the caller's, while the log holds events of it that were his.
        """
        caller = viewer(request)
        try:
            wanted = Subscriptions([str(as_uuid("task_id", task_id))])
        except InvalidValue:
            raise Refused(NOT_FOUND) from None
        if not _seen(caller, wanted) and not _has_past(caller, task_id=next(iter(wanted.task_ids))):
            raise Refused(NOT_FOUND)
        return answer(_poll(Parameters(request, ("after", "limit")), caller, wanted))


def answer(poll: Poll) -> Response:
    """Answer with the events after the cursor; with a snapshot when there is none, or it is of no use."""
    reason = None
    if poll.after is not None:
        found = _events(poll, poll.after)
        if isinstance(found, Response):
            return found
        reason = found
    return _snapshot(poll, reason)


def _poll(asked: Parameters, caller: Viewer, wanted: Subscriptions) -> Poll:
    limit = asked.whole("limit", 1, replay.PAGE, replay.PAGE)
    return Poll(caller, wanted, asked.one("after"), limit)


def _events(poll: Poll, after: str) -> Response | str:
    """Return the events after the cursor, or the reason why it is of no use."""
    cursor, head = client.parse_cursor(after), log.position()
    if cursor is None or cursor > head:
        return UNKNOWN_POSITION
    # Positions are consecutive: who is not that far behind need not be counted.
    count = conf.REPLAY_LIMIT if head - cursor > conf.REPLAY_LIMIT else 0
    keys = (*poll.wanted.keys(poll.viewer), BROADCASTS)
    page = replay.page(cursor, keys, poll.viewer, count, limit=poll.limit)
    if page.floor > cursor:
        return EXPIRED
    if count and page.missed > count:
        return TOO_FAR_BEHIND
    frames = [_frame(event, poll.viewer) for event in page.events if poll.viewer.sees(event)]
    return _list(frames, page.upto, more=page.upto < head)


def _frame(event: LogEvent, caller: Viewer) -> server.Frame:
    removed = event.kind in TASK_KINDS and bool(event.previous_owner) and caller.loses(event)
    return frame_of(event, removed=removed)


def _snapshot(poll: Poll, reason: str | None) -> Response:
    """Return how things are: rows and notices, and the position before the first of them was read."""
    caller, wanted = poll.viewer, poll.wanted
    position = log.position()
    topics = snapshots.load_topics(wanted.topics, caller)
    if own := wanted.own:
        topics.own = snapshots.load_own(own, caller.user_id)
    rows = topics.rows
    for task_id, state in snapshots.load_states(list(wanted.task_ids)).tasks.items():
        if caller.view_all or state.owner == caller.user_id:
            rows[task_id] = state.data
    found = snapshots.load_notices()
    named = snapshots.load_named(caller.user_id) if found.personal else []
    notices = found.of(caller, named).values()
    frames: list[server.Frame] = [
        server.TaskUpdate(timestamp=now(), task_id=task_id, data=data, snapshot=True)
        for task_id, data in rows.items()
    ]
    frames += states(topics)
    frames += [frame_of(notice, snapshot=True) for notice in reversed(notices)]
    return _list(frames, position, truncated=topics.truncated, reset=reason)


def _list(
    frames: Iterable[server.Frame],
    position: int,
    *,
    more: bool = False,
    truncated: bool = False,
    reset: str | None = None,
) -> Response:
    body: dict[str, Any] = {
        "events": [msgspec.to_builtins(frame) for frame in frames],
        "more": more,
        "truncated": truncated,
        "reset": reset,
    }
    return positioned(body, position)


def _seen(caller: Viewer, wanted: Subscriptions) -> int:
    """Return how many of the tasks the caller may see."""
    return listing.visible(caller).filter(pk__in=list(wanted.task_ids)).count()


def _has_past(caller: Viewer, task_id: str) -> bool:
    """Tell whether the log holds an event of the task that the caller may see."""
    rows = Event.objects.using(log.database()).filter(replay.visible(caller), task_id=task_id)
    return rows.filter(kind__in=OF_TASKS).exists()
