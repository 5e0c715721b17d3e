"""A client of Server-Sent Events that keeps every event it receives."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tests.kit import http_stream
from tests.kit.inbox import Inbox
from tests.kit.ports import HOST
from tests.kit.servers import Server
from tests.kit.sockets import open_socket
from tests.kit.sse_parser import EventStreamParser, ServerSentEvent


class StreamClient:
    """One GET request for an event stream; an answer of another kind is kept in `body`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        status: int,
        headers: dict[str, str],
    ) -> None:
        """Take over a connection whose answer has begun (see `connect`) and begin to read it."""
        self.status = status
        self.headers = headers
        self.body = b""
        self.ended = False
        """Whether the server ended the answer in order; a cut line does not end it."""
        self.inbox: Inbox[ServerSentEvent] = Inbox()
        self._parser = EventStreamParser()
        self._writer = writer
        self._left = False
        self._task = asyncio.create_task(self._read(reader))

    @classmethod
    async def connect(
        cls,
        server: Server,
        token: str | None = None,
        task_ids: Sequence[str] = (),
        topics: Sequence[str] = (),
        last_event_id: str | int | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        receive_buffer: int | None = None,
        path: str = "/events",
        timeout: float = 10,
    ) -> "StreamClient":
        """Send the request and wait for the head of the answer, whatever its status."""
        sent = {"Host": f"{HOST}:{server.port}", "Accept": "text/event-stream"}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if last_event_id is not None:
            sent["Last-Event-ID"] = str(last_event_id)
        asked = [("task_id", task_id) for task_id in task_ids]
        asked += [("topic", topic) for topic in topics]
        asked += list((query or {}).items())
        target = path + (f"?{urlencode(asked)}" if asked else "")
        async with asyncio.timeout(timeout):
            sock = await open_socket(server, receive_buffer)
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                writer.write(http_stream.request(target, sent | dict(headers or {})))
                status, answer = await http_stream.read_head(reader)
            except BaseException:
                writer.transport.abort()
                raise
        return cls(reader, writer, status, answer)

    @property
    def events(self) -> list[ServerSentEvent]:
        """Every event received, in order."""
        return self.inbox.items

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The data of every event: the same objects a WebSocket client receives."""
        return [event.json for event in self.events]

    @property
    def comments(self) -> list[str]:
        """Every comment line received, without its colon."""
        return self._parser.comments

    @property
    def last_event_id(self) -> str:
        """What an `EventSource` would send to resume; empty when it has nothing."""
        return self._parser.last_event_id

    @property
    def retry(self) -> int | None:
        """The reconnection time last given, in milliseconds."""
        return self._parser.retry

    @property
    def closed(self) -> bool:
        """Whether nothing more will arrive: the answer has ended or the line is cut."""
        return self.inbox.closed

    def json(self) -> Any:
        """The body of an answer that is no stream; wait for its end first."""
        return json.loads(self.body)

    async def wait(
        self,
        event: str | None = None,
        predicate: Callable[[ServerSentEvent], bool] | None = None,
        timeout: float = 10,
    ) -> ServerSentEvent:
        """Return the first event not returned before that has the type and fits `predicate`."""

        def matches(received: ServerSentEvent) -> bool:
            return event in (None, received.event) and (predicate is None or predicate(received))

        return await self.inbox.wait(matches, timeout, what=event or "matching event")

    def pause(self) -> None:
        """Stop reading from the connection, as a client does that hangs."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Read again after `pause`."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def cut(self) -> None:
        """Abort the connection without a word, as a broken line does."""
        self._left = True
        self._writer.transport.abort()
        await self._task

    async def close(self) -> None:
        """Close the connection from our side; HTTP knows no handshake for it."""
        self._left = True
        self._writer.close()
        await self._task

    async def wait_closed(self, timeout: float = 10) -> None:
        """Wait until the answer has ended, from whichever side; `ended` tells how."""
        await self.inbox.wait_closed(timeout)

    async def __aenter__(self) -> "StreamClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.cut()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        reason = "the client was cancelled"
        is_stream = self.headers.get("content-type", "").startswith("text/event-stream")
        try:
            async for piece in http_stream.read_body(reader, self.status, self.headers):
                if is_stream:
                    for event in self._parser.feed(piece):
                        self.inbox.put(event)
                else:
                    self.body += piece
            self.ended = not self._left
            reason = f"the answer ({self.status}) ended"
        except (http_stream.Broken, ValueError) as error:
            reason = f"the line broke: {error}"
        finally:
            self.inbox.close(reason)
            self._writer.close()
