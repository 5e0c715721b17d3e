"""How long the client waits, and what it does after a close: the server's own table of codes. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from realtime.exceptions import CLOSE_CODES, Retry


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds. The defaults are those of the browser's client."""

    #: For a connection to open and say its first word, and for one message to be taken.
    connect: float = 15.0
    #: The longest first pause before a retry; it doubles with each attempt…
    back_off: float = 1.0
    #: …up to here.
    back_off_limit: float = 30.0
    #: How long before its end a token is renewed; half of its life if that is less.
    renew_early: float = 60.0
    #: Without a served connection for so long, give up with ``Unreachable``; None is never.
    give_up: float | None = None
    #: Events that wait for a caller who is slow; beyond, the client stops reading, and resumes if it must.
    queue: int = 1000

    def pause(self, attempt: int) -> float:
        """Return a random part of a pause that doubles: clients cut together come back apart."""
        return random.random() * min(self.back_off_limit, self.back_off * 2.0 ** min(attempt, 60))

    def renew_in(self, left: float) -> float:
        """Return in how many seconds to renew a token with ``left`` seconds before its end."""
        return max(left - self.renew_early, left / 2)


def rule(close_code: int) -> Retry:
    """Return what to do after a close; codes of servers and proxies mean: come back later."""
    return CLOSE_CODES[close_code][1] if close_code in CLOSE_CODES else Retry.BACK_OFF
