"""One connection: the delivery loop, what its client asks for, and when it speaks unasked."""

from realtime.stream.loop import Stream
from realtime.stream.timers import Timers
from realtime.stream.window import Window

__all__ = ["Stream", "Timers", "Window"]
