"""The figures of the live pages. Each query follows an index and reads a bounded number of rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.core.cache import cache
from django.core.exceptions import BadRequest, ValidationError
from django.db import connections
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.utils import timezone

from realtime import log
from realtime.admin.display import silence, silent_before
from realtime.admin.listing import REACH, along
from realtime.events import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, STATUSES
from realtime.models import Task
from realtime.models.public import public_data

#: How many minutes the charts reach back.
MINUTES = 60
#: Rows read for them, of each status: the newest. With more, the charts begin later, and say so.
SAMPLE = 3_000
#: Seconds for which all who look share one reading.
KEEP = 4
#: Tasks in each list of the dashboard.
SHOWN = 20
#: Failures among what needs attention; the list of failed tasks has them all.
FAILURES = 8
#: Seconds after which a task that was asked to stop, and has not, needs attention.
STUBBORN = 60
#: How far back a failure needs attention.
RECENT = timedelta(hours=24)

#: Large, and not shown in lists.
LARGE = ("message", "result", "error", "traceback")

ENDS = (COMPLETED, FAILED, CANCELLED)


class Count(NamedTuple):
    """How many tasks have a status, up to a bound."""

    status: str
    number: int

    @property
    def text(self) -> str:
        """The number as it is shown: past the bound it is not known."""
        return f"{REACH:,}+" if self.number > REACH else f"{self.number:,}"


class Hour(NamedTuple):
    """The last hour by minutes, the oldest first; of the first ``missing`` ones nothing is known."""

    start: datetime
    #: How many ended in each minute, by status.
    ended: dict[str, list[int]]
    #: How long the oldest waiting task had been waiting at the end of each minute, in seconds.
    waited: list[float]
    #: Since when the oldest task that waits now is waiting.
    oldest: datetime | None
    missing: int
    #: Running tasks that were asked to stop long ago.
    stubborn: list[Any]
    #: Other running tasks that have told nothing for long, the longest first.
    silent: list[Any]


def _tasks() -> QuerySet[Any]:
    return Task.objects.using(log.database())


def counts() -> list[Count]:
    """Return how many tasks there are by status, all in one query."""
    using = log.database()
    parts, params = [], []
    for status in STATUSES:
        rows = along(_tasks(), "status", status, "-created_at", "-id").values("pk")[: REACH + 1]
        sql, values = rows.query.get_compiler(using).as_sql()
        parts.append(f"(SELECT COUNT(*) FROM ({sql}) AS counted)")  # noqa: S608 - Django's own SQL
        params += values
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", params)
        return [Count(*pair) for pair in zip(STATUSES, cursor.fetchone(), strict=True)]


def rows(ids: Sequence[str]) -> dict[str, Any]:
    """Return tasks by their ids as clients are told them; a deleted one is missing. Raises ``BadRequest``."""
    try:
        return {str(task.pk): public_data(task) for task in _tasks().filter(pk__in=ids)}
    except ValidationError as error:
        raise BadRequest("Each id is a UUID.") from error


def hour() -> Hour:
    """Return the last hour's figures, a few seconds old at most."""
    key = f"realtime.admin.hour.{log.database()}"
    found = cache.get(key)
    if not isinstance(found, Hour):
        found = read_hour()
        cache.set(key, found, KEEP)
    return found


def read_hour(now: datetime | None = None) -> Hour:
    """Read the last hour's figures."""
    now = now or timezone.now()
    start = now - timedelta(minutes=MINUTES)
    ended = {status: [0] * MINUTES for status in ENDS}
    waits: list[tuple[datetime, datetime]] = []
    known = start
    for status in ENDS:
        rows = along(_tasks().filter(finished_at__gte=start), "status", status, "-finished_at")
        times = list(rows.values_list("created_at", "started_at", "finished_at")[:SAMPLE])
        if len(times) == SAMPLE:
            known = max(known, times[-1][2])
        for created, started, finished in times:
            ended[status][_minute(start, finished)] += 1
            waits.append((created, started or finished))
    late, stubborn, silent = now - timedelta(seconds=STUBBORN), [], []
    for pk, created, started, asked, updated in _some_running():
        waits.append((created, started or created))
        if asked is not None and asked < late:
            stubborn.append(pk)
        if asked is None and updated < silent_before():
            silent.append((updated, pk))
    # From the other end of the same index.
    pending = along(_tasks(), "-status", PENDING, "created_at", "id")
    oldest = pending.values_list("created_at", flat=True).first()
    if oldest is not None:
        waits.append((oldest, now + timedelta(minutes=1)))
    missing = 0 if known == start else _minute(start, known) + 1
    quiet = [pk for _, pk in sorted(silent)]
    return Hour(start, ended, _waited(start, waits), oldest, missing, stubborn, quiet)


def _some_running() -> Collection[Any]:
    """Return the newest running tasks, and where there are more the oldest: those may have been forgotten."""
    columns = ("pk", "created_at", "started_at", "cancel_requested_at", "updated_at")
    newest = along(_tasks(), "status", RUNNING, "-created_at", "-id").values_list(*columns)
    found = {row[0]: row for row in newest[:SAMPLE]}
    if len(found) == SAMPLE:
        # From the other end of the same index.
        oldest = along(_tasks(), "-status", RUNNING, "created_at", "id").values_list(*columns)
        found |= {row[0]: row for row in oldest[:SAMPLE]}
    return found.values()


def _minute(start: datetime, at: datetime) -> int:
    """Return in which minute that was; a clock that is ahead is in the last one."""
    return min(MINUTES - 1, max(0, int((at - start).total_seconds() // 60)))


def _waited(start: datetime, waits: list[tuple[datetime, datetime]]) -> list[float]:
    """Return, at the end of each minute, the age of the oldest task that was waiting then."""
    waited = [0.0] * MINUTES
    for created, until in waits:
        since, end = (created - start).total_seconds(), (until - start).total_seconds()
        # Most wait for less than a minute and are met by no mark, or one.
        for mark in range(max(0, -int(-since // 60) - 1), MINUTES):
            at = 60.0 * (mark + 1)
            if at >= end:
                break
            waited[mark] = max(waited[mark], at - since)
    return waited


def running() -> list[Any]:
    """Return the newest running tasks."""
    return list(_shown(along(_tasks(), "status", RUNNING, "-created_at", "-id"))[:SHOWN])


def finished() -> list[Any]:
    """Return the tasks that ended last, the latest first; one more than is shown, if there are more."""
    since = timezone.now() - RECENT
    ends = [along(_tasks().filter(finished_at__gte=since), "status", end, "-finished_at") for end in ENDS]
    found = [task for rows in ends for task in _shown(rows)[: SHOWN + 1]]
    return sorted(found, key=lambda task: task.finished_at, reverse=True)[: SHOWN + 1]


def attention(hour: Hour) -> list[tuple[Any, str]]:
    """Return tasks that somebody should look at, and why: at most so many for each reason."""
    now = timezone.now()
    tasks = _tasks().filter(status=RUNNING)
    lost = _shown(tasks.filter(lease_expires_at__lt=now).order_by("lease_expires_at"))[:SHOWN]
    why = dict.fromkeys(lost, "Its worker has stopped reporting")
    for task in _shown(tasks.filter(pk__in=hour.stubborn[:SHOWN])):
        why.setdefault(task, "Was asked to stop, and has not")
    # As they are now: one may have told something since the hour was read.
    for task in _shown(tasks.filter(pk__in=hour.silent[:SHOWN]).order_by("updated_at")):
        if told := silence(task):
            why.setdefault(task, told)
    failed = along(_tasks().filter(finished_at__gte=now - RECENT), "status", FAILED, "-finished_at")
    for task in _shown(failed)[:FAILURES]:
        why[task] = task.begins or "Failed without a word"
    return list(why.items())


def _shown(rows: QuerySet[Any]) -> QuerySet[Any]:
    found: QuerySet[Any] = rows.select_related("owner").defer(*LARGE).annotate(begins=Left("error", 200))
    return found
