"""An event-stream parser after WHATWG HTML §9.2, written apart from the server's encoder."""

import codecs
import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class ServerSentEvent:
    """One dispatched event."""

    event: str
    """Its type, `message` when the stream named none."""
    data: str
    id: str | None
    """The id in this event's own block, or None."""
    last_event_id: str
    """What a client would send in `Last-Event-ID` after this event."""
    retry: int | None
    """The reconnection time given in this event's own block, in milliseconds."""

    @property
    def json(self) -> Any:
        """The data, decoded."""
        return json.loads(self.data)


@dataclass
class _Block:
    """The fields since the last blank line."""

    event: str = ""
    data: list[str] = field(default_factory=list)
    id: str | None = None
    retry: int | None = None


class EventStreamParser:
    """Turns the bytes of a stream, cut anywhere, into events; an unfinished block is no event."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.last_event_id = ""
        self.retry: int | None = None
        self._id_buffer = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_start = True
        self._after_cr = False
        self._rest = ""
        self._block = _Block()

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes and return the events they complete."""
        text = self._decoder.decode(chunk)
        if self._at_start and text:
            text = text.removeprefix("\ufeff")  # one byte order mark, and only here
            self._at_start = False
        if self._after_cr and text:
            # The second half of a CRLF, whose first half ended a line already.
            text = text.removeprefix("\n")
            self._after_cr = False
        if text.endswith("\r"):
            self._after_cr = True
        *lines, self._rest = _LINE_END.split(self._rest + text)
        events = (self._take_line(line) for line in lines)
        return [event for event in events if event is not None]

    def _take_line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(line[1:])
        elif name == "event":
            self._block.event = value
        elif name == "data":
            self._block.data.append(value)
        elif name == "id" and "\0" not in value:
            self._block.id = self._id_buffer = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._block.retry = self.retry = int(value)
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        """End the block: the id counts even when there is no data, and then there is no event."""
        block, self._block = self._block, _Block()
        self.last_event_id = self._id_buffer
        if not block.data:
            return None
        return ServerSentEvent(
            event=block.event or "message",
            data="\n".join(block.data),
            id=block.id,
            last_event_id=self.last_event_id,
            retry=block.retry,
        )
