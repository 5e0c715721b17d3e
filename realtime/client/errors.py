"""What the client raises: a code, as the server's table has it, and a message for people.

ClientError
├── Denied          the server says no, and would say it again
│   └── NotFound    no such task, or none that this user may see
├── Unreachable     the server cannot be reached, or cannot serve now
├── Overdue         the caller's own time-out; also a TimeoutError
├── ClientClosed    the client was closed meanwhile
├── TaskFailed      the task that was waited for has failed
└── TaskCancelled   the task that was waited for was cancelled
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.client.events import TaskState


class ClientError(Exception):
    """The root: ``code`` does not change, ``message`` may."""

    code = "error"

    def __init__(self, message: str, code: str | None = None) -> None:
        self.code = code or type(self).code
        self.message = message
        super().__init__(f"{message} [{self.code}]")


class Denied(ClientError):
    """The server refuses, and would refuse again: a bad credential, a missing right, a bad value.

    ``code`` is the server's, see the table of errors in docs/protocol.md.
    """

    code = "denied"


class NotFound(Denied):
    """There is no such task, or none that this user may see; or it is gone meanwhile."""

    code = "not_found"


class Unreachable(ClientError):
    """The server cannot be reached or cannot serve just now; ``retry_after`` in seconds, if it said when.

    ``foreign`` tells that something answered, but not with what this app says: a redirect, another
    site's page. A watch that has never been served takes that for a wrong address.
    """

    code = "unreachable"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        retry_after: float | None = None,
        *,
        foreign: bool = False,
    ) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after
        self.foreign = foreign


class Overdue(ClientError, TimeoutError):
    """What was waited for did not come within the caller's ``timeout``."""

    code = "timeout"


class ClientClosed(ClientError):
    """The client was closed, or is not open yet: use it in a ``with`` block."""

    code = "client_closed"


class _Ended(ClientError):
    def __init__(self, task: TaskState, message: str) -> None:
        super().__init__(message)
        #: The task as it ended.
        self.task = task


class TaskFailed(_Ended):
    """The task has failed; the message is its ``error``, and ``task`` is all that is known of it."""

    code = "task_failed"

    def __init__(self, task: TaskState) -> None:
        super().__init__(task, task.error or "The task has failed.")


class TaskCancelled(_Ended):
    """The task was cancelled.

    Not the exception of that name that a worker meets (``realtime.exceptions``): a worker that waits for
    another task must not take its end for its own.
    """

    code = "task_cancelled"

    def __init__(self, task: TaskState) -> None:
        super().__init__(task, task.message or "The task was cancelled.")
