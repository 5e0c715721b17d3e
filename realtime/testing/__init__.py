"""For the tests of your project: what your code told, a client in this process, a layer with faults.

The fixtures of ``plugin.py`` are there wherever the package is installed. This package and that module
import nothing before they are used: a project that does not test with them pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime.testing.clients import Client as Client
    from realtime.testing.clients import SyncClient as SyncClient
    from realtime.testing.connection import Refusal as Refusal
    from realtime.testing.convergence import assert_converges as assert_converges
    from realtime.testing.layer import FaultyLayer as FaultyLayer
    from realtime.testing.layer import default_layer as default_layer
    from realtime.testing.recorder import Recorder as Recorder
    from realtime.testing.recorder import Told as Told
    from realtime.testing.server import Server as Server
    from realtime.testing.view import View as View

#: Each public name and the module it comes from.
_EXPORTS: dict[str, str] = {
    "Client": "clients",
    "FaultyLayer": "layer",
    "Recorder": "recorder",
    "Refusal": "connection",
    "Server": "server",
    "SyncClient": "clients",
    "Told": "recorder",
    "View": "view",
    "assert_converges": "convergence",
    "default_layer": "layer",
}


def __getattr__(name: str) -> Any:
    """Return a public name, loaded when it is first asked for (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
