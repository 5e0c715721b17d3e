"""The Server-Sent Events door (WHATWG HTML §9.2): one subscribe, whose words are the URL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt

from realtime import auth, metrics
from realtime.addresses import client_address
from realtime.api import errors
from realtime.atomicity import outside_transactions
from realtime.conf import conf
from realtime.connections import UNKNOWN_CALLER, Caller
from realtime.events import Viewer
from realtime.exceptions import (
    ASGI_REQUIRED,
    FORBIDDEN,
    INVALID_PARAMETER,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RESTARTING,
    TOO_MANY_SUBSCRIPTIONS,
    UNAVAILABLE,
    ProtocolError,
    Refused,
)
from realtime.fragments import FRAGMENTS_MISSED, Fragments, as_fragments, written
from realtime.hub import Hub
from realtime.limits import Place, places
from realtime.middleware import DEPARTURES_KEY
from realtime.process import current_hub
from realtime.protocol import client, server
from realtime.protocol.delivery import as_stream
from realtime.stream import Stream, Timers, frames
from realtime.topics import MINE, TASKS

logger = logging.getLogger("realtime.sse")

#: Bytes after which a chunk is sent.
CHUNK = 65_536

HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    # GZipMiddleware would make each event a gzip member of its own; it leaves an encoded body alone.
    "Content-Encoding": "identity",
}


@outside_transactions
@csrf_exempt  # nothing but GET is served, and another method is to hear that, not of a token
async def events(request: HttpRequest) -> HttpResponseBase:
    """Answer ``GET /events``: a stream of events, or JSON that says why there is none."""
    try:
        if request.method != "GET":
            raise Refused(METHOD_NOT_ALLOWED)
        scope = getattr(request, "scope", None)
        if scope is None:
            raise Refused(ASGI_REQUIRED)
        with ExitStack() as leaving:
            encode = _encoder(request)
            format = "html" if isinstance(encode, Fragments) else "json"
            caller = Caller(metrics.SSE, format, client_address(scope))
            place = places.enter(caller.address)
            leaving.callback(place.leave)
            viewer = await auth.authenticate(scope)
            place.belongs_to(viewer.user_id)
            asked = _asked(request, viewer)
            the_hub = await current_hub()
            refused = await _refused(the_hub, viewer, asked)
            # To 204, 400 and 404 an element of HTMX would come back for ever: fragments say what they say.
            if isinstance(encode, Fragments):
                if len(refused) == len(asked.subscriptions()):
                    ended = encode.ended(refused)
                    return HttpResponse(ended, content_type="text/event-stream", headers=HEADERS)
            elif refused and (asked.after is None or len(refused) == len(asked.subscriptions())):
                raise Refused(INVALID_PARAMETER, f"Unknown topic: {refused[0]}")
            elif await _is_over(the_hub, viewer, asked):
                return HttpResponse(status=204)
            # From here on it is the stream that leaves: the guard sees to it, if not the generator.
            scope.get(DEPARTURES_KEY, ExitStack()).push(leaving.pop_all())
    except Refused as refused:
        return problem_response(refused, metrics.SSE)
    except SuspiciousOperation as error:
        return problem_response(Refused(INVALID_PARAMETER, str(error)), metrics.SSE)
    except Exception:
        logger.exception("A stream could not be served.")
        return problem_response(Refused(UNAVAILABLE), metrics.SSE)
    body = _body(the_hub, viewer, asked, place, caller, encode)
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=HEADERS)


def problem_response(refused: Refused, transport: str = metrics.HTTP) -> JsonResponse:
    """Return the one shape of an HTTP error: ``{code, message}``."""
    problem = refused.problem
    metrics.ERRORS.labels(problem.code, transport).inc()
    response = JsonResponse(
        errors.body(problem, refused.message), status=problem.status, headers=errors.headers(problem)
    )
    if problem.status == 405:
        response["Allow"] = "GET"
    return response


def _asked(request: HttpRequest, viewer: Viewer) -> client.Subscribe:
    """Read the URL as a subscribe; the ``Last-Event-ID`` header wins over ``last_event_id``."""
    after = request.headers.get("Last-Event-ID", request.GET.get("last_event_id"))
    task_ids, topics = request.GET.getlist("task_id"), request.GET.getlist("topic")
    asked = client.Subscribe(task_ids=task_ids, topics=topics or ([] if task_ids else [MINE]), after=after)
    try:
        wanted = asked.subscriptions()
    except ProtocolError as error:
        raise Refused(INVALID_PARAMETER, error.message) from None
    if len(wanted) > conf.MAX_SUBSCRIPTIONS:
        raise Refused(TOO_MANY_SUBSCRIPTIONS, f"At most {conf.MAX_SUBSCRIPTIONS} subscriptions per stream.")
    if TASKS in wanted.topics and not viewer.view_all:
        raise Refused(FORBIDDEN, "The topic tasks needs the permission realtime.view_task.")
    return asked


def _encoder(request: HttpRequest) -> Callable[[server.Frame], bytes]:
    """Return how frames are written: as JSON or, with ``format=html``, as the reader's fragments."""
    match request.GET.get("format", "json"):
        case "json":
            return as_stream(conf.SSE_RETRY_MS)
        case "html":
            zone = timezone.get_current_timezone_name()
            return as_fragments(conf.SSE_RETRY_MS, translation.get_language(), zone)
    raise Refused(INVALID_PARAMETER, "format is json or html.")


async def _refused(the_hub: Hub, viewer: Viewer, asked: client.Subscribe) -> list[str]:
    """Return which of the project's topics this viewer may not see, in the words for what is no topic at all.

    A resume may go on without some, but not without all.
    """
    if not (own := asked.subscriptions().own):
        return []
    granted = await the_hub.reader.granted(own, viewer)
    return [topic for topic in own if topic not in granted]


async def _is_over(the_hub: Hub, viewer: Viewer, asked: client.Subscribe) -> bool:
    """Tell whether a resume has nothing left to watch, which 204 says to an ``EventSource``.

    Raises ``Refused`` when a fresh stream asks for a task that is unknown or not the viewer's.
    """
    wanted = asked.subscriptions()
    if not wanted.task_ids:
        return False
    states = await the_hub.reader.states(wanted.task_ids)
    seen = {
        task_id: state
        for task_id, state in states.tasks.items()
        if viewer.view_all or state.owner == viewer.user_id
    }
    if asked.after is None:
        if missing := [t for t in wanted.task_ids if t not in seen]:
            raise Refused(NOT_FOUND, f"No such task: {missing[0]}")
        return False
    cursor = client.parse_cursor(asked.after)
    if wanted.topics or cursor is None:
        return False
    if any(not state.final or state.pending or state.last > cursor for state in seen.values()):
        return False
    return await the_hub.reader.nothing_after(cursor, wanted.keys(viewer), viewer)


def _give_up(stream: Stream, sending: asyncio.Task[Any]) -> None:
    """End a stream whose client has stopped reading.

    Closed here, not only when the generator ends: Django keeps a cancelled request's response, and the
    suspended generator with it, for as long as somebody holds the task.
    """
    metrics.STUCK.labels(metrics.SSE).inc()
    stream.close()
    stream.subscriber.on_stuck = None
    sending.cancel()


def pieces(batch: list[Any]) -> Iterator[bytes]:
    """Yield a batch's events joined into chunks, so that the time for one chunk can be bounded."""
    piece, size = [], 0
    for payload in batch:
        piece.append(payload)
        size += len(payload)
        if size >= CHUNK:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


async def _body(
    the_hub: Hub,
    viewer: Viewer,
    asked: client.Subscribe,
    place: Place | None = None,
    caller: Caller = UNKNOWN_CALLER,
    encode: Callable[[server.Frame], bytes] | None = None,
) -> AsyncIterator[bytes]:
    timers = Timers(
        heartbeat=conf.SSE_HEARTBEAT_INTERVAL,
        comment=conf.SSE_COMMENT_INTERVAL,
        max_age=conf.STREAM_MAX_AGE,
    )
    encode = encode or as_stream(conf.SSE_RETRY_MS)
    fragments = encode if isinstance(encode, Fragments) else None
    ends_with_tasks = not asked.subscriptions().topics
    stream = Stream(
        the_hub,
        viewer,
        encode,
        timers,
        ends_with_tasks=ends_with_tasks,
        caller=caller,
        replay_limit=FRAGMENTS_MISSED if fragments else None,
    )
    subscriber, clock = stream.subscriber, asyncio.get_running_loop().time
    if (sending := asyncio.current_task()) is not None:
        subscriber.on_stuck = partial(_give_up, stream, sending)
    if place is not None:
        place.when_sent_away(partial(stream.refuse, Refused(RESTARTING)))
    try:
        stream.commands.post(asked)
        while batch := await stream.next():
            # Events of HTML are rendered here, with other work between them; any others are as they are sent.
            for piece in pieces(await written(batch) if fragments else batch):
                subscriber.busy_since = clock()
                yield piece
            subscriber.busy_since = None
            if fragments and stream.acknowledged and not stream.subscriptions:
                break
        if fragments and not stream.subscriptions and (ends_with_tasks or stream.acknowledged):
            yield fragments.done(stream.cursor)
    except Refused as refused:
        metrics.ERRORS.labels(refused.problem.code, metrics.SSE).inc()
        yield encode(frames.farewell(refused))
    except Exception:
        logger.exception("A stream failed; its client comes back with its cursor.")
        metrics.ERRORS.labels(UNAVAILABLE.code, metrics.SSE).inc()
        yield encode(frames.error(UNAVAILABLE))
    finally:
        stream.close()
        if place is not None:
            place.leave()
