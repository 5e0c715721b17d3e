"""Bodies: JSON only, and never more of one than Django would keep in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.parsers import BaseParser

from realtime.depth import DEPTH, is_deeper
from realtime.exceptions import BODY_TOO_BIG, INVALID_JSON, Refused


class LimitedJSONParser(BaseParser):
    """Reads at most ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes, however they come.

    Not a ``JSONParser``: what is one gets the body that REST framework has read to its end before.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the body as Python values. Raises ``Refused``: too big, too deep, or not JSON.

        JSON is UTF-8 (RFC 8259 §8.1), whatever a ``charset`` says; NaN and Infinity are not JSON.
        """
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read() if limit is None else stream.read(limit + 1)
        if limit is not None and len(raw) > limit:
            raise Refused(BODY_TOO_BIG, f"A body has at most {limit} bytes.")
        try:
            value = json.loads(raw.decode(), parse_constant=_refuse)
        except RecursionError:
            raise _too_deep() from None
        except ValueError as error:
            raise Refused(INVALID_JSON, f"The body is not JSON: {error}") from None
        if raw.count(b"[") + raw.count(b"{") > DEPTH and is_deeper(value):
            raise _too_deep()
        return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number.")


def _too_deep() -> Refused:
    return Refused(INVALID_JSON, f"The body is nested deeper than {DEPTH} levels.")
