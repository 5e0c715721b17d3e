"""The last hour drawn: where the bars and the line of an inline SVG stand, and the table behind them.

Numbers are text here: a template would write them with the decimal comma of the page's language.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from realtime.admin.display import length
from realtime.admin.figures import ENDS, MINUTES, Hour
from realtime.events import FAILED

WIDTH, HEIGHT = 600, 110
STEP = WIDTH / MINUTES
#: Minutes in a row of the table.
GROUP = 5


def draw(hour: Hour) -> dict[str, Any]:
    """Return all that the template needs of both charts."""
    totals = [sum(hour.ended[end][minute] for end in ENDS) for minute in range(MINUTES)]
    waits = (timezone.now() - hour.oldest).total_seconds() if hour.oldest else 0.0
    most, longest = max([*totals, 1]), max([*hour.waited, waits, 1.0])
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "bars": _bars(hour, most),
        "most": most,
        "total": sum(totals),
        "failed": sum(hour.ended[FAILED]),
        "line": " ".join(_points(hour.waited, longest)),
        "longest": length(longest) if longest > 1 else "",
        "oldest": length(waits) if hour.oldest else "",
        "missing": hour.missing,
        "missing_width": _number(hour.missing * STEP),
        "rows": [_row(hour, minute) for minute in range(0, MINUTES, GROUP)],
    }


def _bars(hour: Hour, most: int) -> list[dict[str, str]]:
    """Return the rectangles, stacked by how the tasks ended."""
    bars = []
    for minute in range(MINUTES):
        below = 0.0
        for end in ENDS:
            if not (count := hour.ended[end][minute]):
                continue
            tall = count / most * HEIGHT
            bars.append(
                {
                    "kind": end,
                    "x": _number(minute * STEP + 1),
                    "y": _number(HEIGHT - below - tall),
                    "width": _number(STEP - 2),
                    "height": _number(tall),
                }
            )
            below += tall
    return bars


def _points(values: list[float], longest: float) -> list[str]:
    """Return the corners of the line over the hour."""
    return [
        f"{_number((minute + 1) * STEP)},{_number(HEIGHT - value / longest * (HEIGHT - 2) - 1)}"
        for minute, value in enumerate(values)
    ]


def _row(hour: Hour, minute: int) -> dict[str, Any]:
    span = slice(minute, minute + GROUP)
    begin = timezone.localtime(hour.start + timedelta(minutes=minute))
    return {
        "time": f"{begin:%H:%M}–{begin + timedelta(minutes=GROUP):%H:%M}",
        "ended": [sum(hour.ended[end][span]) for end in ENDS],
        "waited": length(max(hour.waited[span])),
        "known": minute >= hour.missing,
    }


def _number(value: float) -> str:
    return f"{value:.1f}"
