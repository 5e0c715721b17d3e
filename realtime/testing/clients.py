"""A test's client of the WebSocket, for asynchronous tests and for plain ones."""

# ruff: noqa: ASYNC109 - a deadline in seconds reads better than a block in every test

from __future__ import annotations

from copy import deepcopy
from typing import Any

from realtime.testing.connection import Connection, Frame
from realtime.testing.server import Server
from realtime.testing.view import View

#: Seconds that an answer or a frame is waited for, if the test does not say.
TIMEOUT = 5.0


def _subscription(action: str, task_id: Any, topic: str | None, after: int | None) -> Frame:
    wanted = {"task_id": None if task_id is None else str(getattr(task_id, "pk", task_id)), "topic": topic}
    given = {**wanted, "after": after}
    return {"action": action, **{name: value for name, value in given.items() if value is not None}}


class _Face:
    def __init__(self, server: Server, connection: Connection) -> None:
        self._server, self._connection = server, connection
        self._held = View()

    @property
    def frames(self) -> list[Frame]:
        """Everything received until now, in order."""
        return list(self._connection.frames)

    @property
    def closed(self) -> int | None:
        """The code with which the server closed, or None."""
        return self._connection.closed

    @property
    def view(self) -> View:
        """What a client that follows the rules knows by now, and in ``violations`` what broke them."""
        return deepcopy(self._held).feed_all(self.frames)

    def _asked(self, task_id: Any, topic: str | None, after: int | None) -> Frame:
        message = _subscription("subscribe", task_id, topic, after)
        if after is not None:
            # Who resumes has been told before: its cursor and what it watches are known, no rows.
            self._held = View(
                after, (), *([message[name]] if name in message else [] for name in ("task_id", "topic"))
            )
        return message


class Client(_Face):
    """A WebSocket client for ``async def`` tests."""

    async def subscribe(
        self,
        *,
        task_id: Any = None,
        topic: str | None = None,
        after: int | None = None,
        timeout: float = TIMEOUT,
    ) -> Frame:
        """Watch a task (or its id), or a topic; return the ``subscribed`` that follows its snapshot.

        ``after`` resumes behind a cursor. Raises ``Refusal``, such as ``not_found``, and ``TimeoutError``.
        """
        message = self._asked(task_id, topic, after)
        return await self._server.arun(self._connection.ask(message, "subscribed", timeout))

    async def unsubscribe(
        self, *, task_id: Any = None, topic: str | None = None, timeout: float = TIMEOUT
    ) -> Frame:
        """Watch it no longer."""
        message = _subscription("unsubscribe", task_id, topic, None)
        return await self._server.arun(self._connection.ask(message, "unsubscribed", timeout))

    async def wait(self, type: str, timeout: float = TIMEOUT, **fields: Any) -> Frame:
        """Return the next frame of that type whose fields, or those of its ``data``, have these values.

        Next is: behind the one that was waited for before. Raises ``TimeoutError`` with what came instead,
        and ``ConnectionError`` when the server closed.
        """
        return await self._server.arun(self._connection.wait(type, timeout, fields))

    async def close(self) -> None:
        """Hang up; the end of the test does so otherwise."""
        await self._server.arun(self._connection.close())


class SyncClient(_Face):
    """A WebSocket client for plain tests: what :class:`Client` does, each call until it is done."""

    def subscribe(
        self,
        *,
        task_id: Any = None,
        topic: str | None = None,
        after: int | None = None,
        timeout: float = TIMEOUT,
    ) -> Frame:
        """Watch a task (or its id), or a topic; see :meth:`Client.subscribe`."""
        message = self._asked(task_id, topic, after)
        return self._server.run(self._connection.ask(message, "subscribed", timeout), timeout)

    def unsubscribe(
        self, *, task_id: Any = None, topic: str | None = None, timeout: float = TIMEOUT
    ) -> Frame:
        """Watch it no longer."""
        message = _subscription("unsubscribe", task_id, topic, None)
        return self._server.run(self._connection.ask(message, "unsubscribed", timeout), timeout)

    def wait(self, type: str, timeout: float = TIMEOUT, **fields: Any) -> Frame:
        """Return the next frame of that type with these values; see :meth:`Client.wait`."""
        return self._server.run(self._connection.wait(type, timeout, fields), timeout)

    def close(self) -> None:
        """Hang up; the end of the test does so otherwise."""
        self._server.run(self._connection.close())
