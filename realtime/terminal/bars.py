"""Progress bars on a terminal, with rich: one for each task at work, a line for whatever has ended."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from realtime.client.events import Event, TaskState, TaskUpdate
from realtime.terminal.lines import clean, line_of

#: Bars at once; what is beyond has none until another one ends.
MOST = 20
#: Characters of a name and of a message.
NAME, MESSAGE = 40, 50


class Bars:
    """Draws while its ``with`` block lasts, and leaves the terminal as it was."""

    def __init__(self, console: Console | None = None) -> None:
        # Without markup: a name may hold square brackets, or what somebody wants to be obeyed.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[counts]} {task.fields[says]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move a bar, or write a line above them."""
        if isinstance(event, TaskUpdate) and not event.task.final:
            self._move(event.task)
            return
        task_id = getattr(event, "task_id", None)
        if event.type != "task_log" and task_id in self._bars:
            self._progress.remove_task(self._bars.pop(task_id))
        if (line := line_of(event)) is not None:
            self._progress.console.print(Text(line), soft_wrap=True)

    def _move(self, task: TaskState) -> None:
        if task.task_id not in self._bars:
            if len(self._bars) >= MOST:
                return
            self._bars[task.task_id] = self._progress.add_task("", total=100, counts="", says="")
        self._progress.update(
            self._bars[task.task_id],
            completed=task.progress,
            description=clean(task.name)[:NAME],
            counts=f"{task.done}/{task.total}" if task.total else "",
            says=clean(f"{task.phase} {task.message}" if task.status != "pending" else "waits")[:MESSAGE],
        )
