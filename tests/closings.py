"""How each close code comes about: told once, and played by a client of ours and by a browser."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.ending import extra
from tests.flows import Live

PING = json.dumps({"action": "ping"})


@dataclass(frozen=True)
class Closing:
    """What a client does until a server closes, and what it hears last."""

    code: int
    last: Mapping[str, Any]
    """Of the last frame."""
    say: tuple[str, ...] = ()
    """What the client sends after `connected`."""
    credential: str = "token"
    """What the client brings: `token`, `session` (the cookie of a browser), or `none`."""
    answers_once: bool = False
    """The client answers the first ping, and no other."""
    hangs_up: bool = False
    """The client closes, with 1000, after it has had `connected`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the server, which is one of its own then."""
    env: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[Live], None] = lambda live: None
    """What happens to the server after the client has had `connected`."""


def _error(code: str) -> dict[str, str]:
    return {"type": "error", "code": code}


#: One way to each code, on the site `narrow`.
CLOSINGS: dict[str, Closing] = {
    "normal": Closing(1000, {"type": "connected"}, hangs_up=True),
    "bad messages": Closing(4400, _error("too_many_bad_messages"), say=("{",) * 10),
    "no credential": Closing(4401, _error("not_authenticated"), credential="none"),
    "another site's page": Closing(4403, _error("origin_not_allowed"), credential="session"),
    "no answers any more": Closing(4410, _error("slow_consumer"), answers_once=True),
    "big message": Closing(4413, _error("message_too_big"), say=("x" * 65_537,)),
    "too many messages": Closing(4429, _error("too_many_messages"), say=(PING,) * 120),
    "database away": Closing(
        4500, _error("unavailable"), env={"DATABASE_URL": "sqlite:////nonexistent/db.sqlite3"}
    ),
    "restart": Closing(
        4503,
        {"type": "reconnect", "reason": "restarting"},
        settings={"DRAIN_SECONDS": 2},
        after=lambda live: os.kill(live.server.pid, signal.SIGTERM),
    ),
}


@contextmanager
def stage(closing: Closing, narrow: Live) -> Iterator[Live]:
    """The server for it: the one of the site, or one of its own."""
    with ExitStack() as stack:
        if closing.settings or closing.env:
            narrow = stack.enter_context(extra(narrow, env=dict(closing.env), **closing.settings))
        yield narrow
