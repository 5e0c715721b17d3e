"""The two clients of the tests, over WebSocket and over Server-Sent Events."""

from tests.kit.sockets import SocketClient
from tests.kit.streams import StreamClient

__all__ = ["SocketClient", "StreamClient"]
