"""Live task status for any Django site: a log in the database, a hub per process, WebSocket and SSE.

The public names are here, as ``from realtime import track``. They are loaded when first used,
since Django imports this package before there are models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime.current import current_task as current_task
    from realtime.current import owned_by as owned_by
    from realtime.live import LiveModel as LiveModel
    from realtime.publishing import apublish as apublish
    from realtime.publishing import publish as publish
    from realtime.registry import Topic as Topic
    from realtime.registry import register as register
    from realtime.tracking import track as track
    from realtime.tracking import tracked as tracked

__version__ = "0.1.0"

#: Each public name and the module it comes from.
_EXPORTS: dict[str, str] = {
    "LiveModel": "realtime.live",
    "Topic": "realtime.registry",
    "apublish": "realtime.publishing",
    "current_task": "realtime.current",
    "owned_by": "realtime.current",
    "publish": "realtime.publishing",
    "register": "realtime.registry",
    "track": "realtime.tracking",
    "tracked": "realtime.tracking",
}


def __getattr__(name: str) -> Any:
    """Return a public name, loaded when it is first asked for (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
