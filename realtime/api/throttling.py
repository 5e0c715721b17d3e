"""How often somebody may call: by user, or by address for who has not said who he is.

Counted in Django's cache, which by default is each process's own. A project changes a rate, or lifts it with
None, by REST framework's own setting ``DEFAULT_THROTTLE_RATES``, under the names below.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from realtime.addresses import client_address
from realtime.limits import group_of

RATES = {
    #: Log-ins that failed; those that succeed are not counted.
    "realtime-login": "60/min",
    "realtime-api": "1200/min",
    "realtime-broadcast": "600/min",
}


class Throttle(SimpleRateThrottle):
    """The rate of the view's ``throttle_scope``."""

    def __init__(self) -> None:
        """The rate is known only when the view is: see :meth:`allow_request`."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Tell whether this call is within the view's rate."""
        self.scope = getattr(view, "throttle_scope", "realtime-api")
        given: dict[str, Any] = api_settings.DEFAULT_THROTTLE_RATES or {}
        self.rate = given.get(self.scope, RATES[self.scope])
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return bool(super().allow_request(request, view))

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Return what calls are counted under."""
        if request.user is not None and request.user.is_authenticated:
            ident = f"user-{request.user.pk}"
        else:
            ident = f"address-{group_of(client_address(request.META))}"
        return str(self.cache_format % {"scope": self.scope, "ident": ident})


class FailureThrottle(Throttle):
    """Counts what fails: a call counts from its beginning, until the view says that it has succeeded.

    By the cache's own counter, since guesses that come at the same time must not overwrite each other's.
    """

    _key = ""

    def throttle_success(self) -> bool:
        """Let the call in, if the present interval still has room for it."""
        interval, self._left = divmod(self.timer(), self.duration)
        self._key = f"{self.key}_{interval:.0f}"
        self.cache.add(self._key, 0, 2 * self.duration)
        if self.cache.incr(self._key) <= self.num_requests:
            return True
        self.succeeded()
        return bool(self.throttle_failure())

    def wait(self) -> float:
        """Return the seconds until the next interval."""
        return float(self.duration - self._left)

    def succeeded(self) -> None:
        """Count this call no longer."""
        if self._key:
            with suppress(ValueError):  # the interval is over, and forgotten
                self.cache.decr(self._key)
