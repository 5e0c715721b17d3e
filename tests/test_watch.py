"""`manage.py watch`: follows tasks in the log itself, shows them, and ends as they ended."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from realtime import log
from realtime.client.events import event_of
from realtime.models import Event, Task
from realtime.terminal.bars import Bars
from realtime.terminal.lines import line_of
from tests.flows import Sites
from tests.kit.process import Child
from tests.kit.threads import in_thread
from tests.kit.waiting import eventually

NOW = "2026-11-21T00:50:18.491Z"
DEADLINE = 60.0


class Shell(io.StringIO):
    """What the command has written so far, a line at a time."""

    @property
    def lines(self) -> list[str]:
        """The whole lines."""
        return self.getvalue().splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines as JSON."""
        return [json.loads(line) for line in self.lines]


def watch(*arguments: str, then: Callable[[], object] = lambda: None) -> tuple[int, Shell]:
    """Run the command while another thread does something once the first line is there."""
    shell = Shell()
    acting: Future[object] = in_thread(lambda: eventually(lambda: shell.lines, DEADLINE) and then())
    status = 0
    try:
        call_command("watch", *arguments, "--interval", "0.02", "--timeout", str(DEADLINE), stdout=shell)
    except SystemExit as end:
        status = int(end.code or 0)
    acting.result(DEADLINE)
    return status, shell


ENDS: list[tuple[Callable[[Task], object], int, str]] = [
    (lambda task: task.complete(result=1), 0, "completed 100%"),
    (lambda task: task.fail(error="No such file."), 1, "failed 0% No such file."),
    (lambda task: (task.cancel(), task.cancel()), 2, "cancelled"),
    (lambda task: task.delete(), 3, "was deleted"),
]


@pytest.mark.parametrize(("end", "wanted", "says"), ENDS, ids=["completed", "failed", "cancelled", "deleted"])
def test_it_ends_with_its_task_and_as_its_task(
    engine: str, end: Callable[[Task], object], wanted: int, says: str
) -> None:
    """Lines where there is no terminal; the exit status tells a script how it went."""
    task = Task.objects.create(name="import")
    short = str(task.pk)[:8]

    def work() -> None:
        task.start()
        task.log("Row 7.", level="warning")
        end(task)

    status, shell = watch(str(task.pk), "--exit-status", then=work)
    assert status == wanted
    told = [line.split(" ", 1)[1] for line in shell.lines]
    assert told[0] == f"{short} import: pending 0%"
    assert f"{short} warning: Row 7." in told
    assert says in told[-1]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_worst_of_several_counts(engine: str) -> None:
    """One that had ended before is shown too, as it is named."""
    good, bad = Task.objects.create(name="good"), Task.objects.create(name="bad")
    bad.start()
    bad.fail(error="No.")
    good.start()
    good.complete()
    ids = [str(good.pk), str(bad.pk)]
    assert watch(*ids, "--exit-status")[0] == 1
    assert watch(*ids)[0] == 0
    assert len(watch(*ids, "--plain")[1].lines) == 2


def test_json_is_the_log_word_for_word(engine: str, make_user: Callable[..., Any]) -> None:
    """Each event once, in order, a frame a line: the rows, `subscribed`, then what the log holds."""
    user = make_user()
    task, other = Task.objects.create(name="mine", owner=user), Task.objects.create(name="not mine")

    def work() -> None:
        other.start()
        task.start()
        for done in range(30):
            task.done = done
            task.save()
        task.complete()

    status, shell = watch("--mine", user.get_username(), "--json", "--exit-status", then=work)
    events = shell.events
    assert status == 0
    assert [(e["type"], e.get("snapshot")) for e in events[:2]] == [
        ("task_update", True),
        ("subscribed", None),
    ]
    rows = Event.objects.filter(owner=str(user.pk), position__gt=events[1]["position"]).order_by("position")
    assert [event["id"] for event in events[2:]] == list(rows.values_list("position", flat=True))
    assert events[-1]["data"]["status"] == "completed"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_all_tasks_until_none_is_at_work(engine: str) -> None:
    """A new one counts as well; what had ended before we came is not told."""
    ended, first = Task.objects.create(name="ended"), Task.objects.create(name="first")
    ended.cancel()

    def work() -> None:
        second = Task.objects.create(name="second")
        for task in (first, second):
            task.start()
            task.complete()

    status, shell = watch("--all", "--exit-status", then=work)
    assert status == 0
    text = shell.getvalue()
    assert "second: completed" in text
    assert "ended" not in text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_log_that_is_gone_brings_the_present(engine: str) -> None:
    """After a restore, or when pruning has overtaken it: a reset, and fresh rows."""
    task = Task.objects.create(name="import")

    def work() -> None:
        log.rebase()
        task.start()
        task.complete()

    _, shell = watch(str(task.pk), "--json", then=work)
    kinds = [event["type"] for event in shell.events]
    assert kinds[:3] == ["task_update", "subscribed", "reset"]
    assert shell.events[-1]["type"] in ("task_update", "subscribed")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_orphans_are_positioned_where_no_server_runs(engine: str) -> None:
    """A worker died between its commit and the position of its event: nobody else would look."""
    task = Task.objects.create(name="import")

    def work() -> None:
        Event.objects.filter(task_id=str(task.pk)).update(position=None)
        eventually(lambda: not Event.objects.filter(position=None).exists(), DEADLINE)
        task.cancel()

    _, shell = watch(str(task.pk), "--json", then=work)
    assert shell.events[-1]["data"]["status"] == "cancelled"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_cannot_be_watched_is_said(engine: str) -> None:
    """An unknown task, a word that is no id, an unknown user, nothing at all; and a deadline is one."""
    for arguments in (
        [str(uuid.uuid4())],
        ["seven"],
        ["--mine", "nobody"],
        [],
        ["--all", "--url", "http://a"],
    ):
        with pytest.raises(CommandError):
            call_command("watch", *arguments)
    begin = time.monotonic()
    with pytest.raises(SystemExit) as end:
        call_command("watch", "--all", "--timeout", "0.2", stderr=io.StringIO())
    assert end.value.code == 124
    assert time.monotonic() - begin < 20


def test_bars_move_and_end_in_a_line() -> None:
    """A bar for each task at work; what a worker wrote is shown, not obeyed."""
    screen = io.StringIO()
    row = {"task_id": str(uuid.uuid4()), "name": "[red]a\x1b[2Jb", "version": 1, "status": "running"}

    def tell(**fields: Any) -> Any:
        data = row | fields
        return event_of({"type": "task_update", "timestamp": NOW, "task_id": row["task_id"], "data": data})

    with Bars(Console(file=screen, force_terminal=True, width=120)) as bars:
        bars.show(tell(progress=40, done=2, total=5, message="two of five"))
        bars._progress.refresh()
        assert "[red]a [2Jb" in screen.getvalue()
        assert "40%" in screen.getvalue()
        assert "2/5" in screen.getvalue()
        bars.show(tell(status="completed", progress=100))
        assert bars._bars == {}
    assert "completed 100%" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
    assert "\x1b" not in (line_of(tell()) or "")


@pytest.mark.parametrize(
    ("elsewhere", "told", "status"),
    [(False, signal.SIGINT, 130), (True, signal.SIGINT, 130), (False, signal.SIGTERM, 143)],
    ids=["here", "elsewhere", "terminated"],
)
def test_it_ends_cleanly(sites: Sites, elsewhere: bool, told: signal.Signals, status: int) -> None:
    """Ctrl-C, or SIGTERM: a process of its own ends without a traceback, and its status says why."""
    live = sites.live("embedded", "uvicorn")
    live.site.create_user(user := f"user-{uuid.uuid4().hex[:8]}")
    what = ["--url", live.server.url] if elsewhere else ["--all"]
    command = [sys.executable, "manage.py", "watch", *what, "--plain"]
    output = live.site.folder / f"watch-{uuid.uuid4().hex}.log"
    name = f"import {uuid.uuid4()}"
    with Child(command, output, {**live.site.env, "WATCH_TOKEN": live.site.token(user)}) as child:

        def seen() -> bool:
            code = "Task.objects.create(name=name, owner=User.objects.get(username=user)).pk"
            live.worker.run(code, name=name, user=user)
            return name in child.log()

        eventually(seen, DEADLINE, interval=0.3)
        child.process.send_signal(told)
        assert child.process.wait(DEADLINE) == status
        assert "Traceback" not in child.log()


def test_a_site_elsewhere_is_watched_with_its_token(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines over the network; the token comes by the environment, not as an argument."""
    live = sites.live("embedded", "uvicorn")
    live.site.create_user(name := f"user-{uuid.uuid4().hex[:8]}")
    code = "task = Task.objects.create(name='far', owner=User.objects.get(username=name)); task.start(); "
    code += "task.fail(error='x'); str(task.pk)"
    task = live.worker.run(code, name=name)
    monkeypatch.setenv("WATCH_TOKEN", live.site.token(name))
    shell = Shell()
    with pytest.raises(SystemExit) as end:
        call_command(
            "watch", task, "--url", live.server.url, "--exit-status", "--timeout", "60", stdout=shell
        )
    assert end.value.code == 1
    assert "far: failed 0% x" in shell.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "ftp://example.com"], "The address of a site begins with"),
        (["--url", "example.com"], "The address of a site begins with"),
        (["--all", "--interval", "0"], "--interval is"),
        (["--all", "--interval", "-1"], "--interval is"),
    ],
)
def test_what_it_cannot_do_it_says(
    engine: str, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence, before it begins."""
    monkeypatch.setenv("WATCH_TOKEN", "a.b.c")
    with pytest.raises(CommandError, match=words):
        call_command("watch", *arguments)
