"""The one-command start: what `make run` calls, from its first line to its last process."""

import os
import re
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit import reaper
from tests.kit.clients import SocketClient
from tests.kit.ports import HOST, free_port, listen
from tests.kit.process import Child
from tests.kit.site import environment
from tests.kit.waiting import eventually

READY = "Ctrl-C ends it."
#: The files that the page and its modules ask for first.
WANTED = {"page.js", "page.css", "icon.svg", "icons.svg", "elements.js", "client.js", "realtime.css"}


class Demonstration(Child):
    """`python -m project.demo.run` on a free port, with its database in a folder."""

    def __init__(self, folder: Path, **env: str) -> None:
        """Start it; `env` are further environment variables."""
        self.port = free_port()
        self.database = folder / "demo.sqlite3"
        ours = environment(f"sqlite:///{self.database}", None, {})
        for name in ("DEBUG", "ALLOWED_HOSTS"):  # the start decides about them
            ours.pop(name)
        ours |= {"SECRET_KEY": "of this installation, long enough for HMAC", "PORT": str(self.port), **env}
        command = [sys.executable, "-m", "project.demo.run"]
        super().__init__(command, folder / f"run-{self.port}.log", ours)

    def wait_ready(self) -> "Demonstration":
        """Wait until it says where to look."""
        eventually(lambda: READY in self.log() or not self.running, timeout=60)
        assert self.running, self.log()
        for pid in self.processes():
            reaper.watch(pid)  # they would survive us and it
        return self

    @property
    def server(self) -> Any:
        """What the socket client needs to know of a server."""
        return self

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address of its sockets."""
        return f"ws://{HOST}:{self.port}"

    def password(self, name: str) -> str:
        """The password it printed for a user."""
        found = re.search(rf"^  {name} +(\S+)$", self.log(), re.MULTILINE)
        assert found, self.log()
        return found[1]

    def processes(self) -> dict[int, str]:
        """The living processes of its session, itself among them: id and command line."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if session == str(self.pid) and state != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except (OSError, ValueError):
                continue  # not a process, or one that has just ended
        return found

    def process_id(self, word: str) -> int:
        """The id of its process with that word in the command line."""
        (pid,) = [pid for pid, command in self.processes().items() if word in command]
        return pid

    def users(self) -> list[tuple[Any, ...]]:
        """The rows of the users that a start must leave alone; a log-in changes others."""
        with sqlite3.connect(self.database) as connection:
            return connection.execute("SELECT username, password, date_joined FROM auth_user").fetchall()


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A running demonstration that no test ends."""
    started = Demonstration(tmp_path_factory.mktemp("demonstration"))
    try:
        yield started.wait_ready()
    finally:
        started.stop()


@pytest.fixture(scope="module")
def users(demonstration: Demonstration) -> list[tuple[Any, ...]]:
    """The rows of the users as the first start made them."""
    return demonstration.users()


@pytest.fixture
def page(demonstration: Demonstration) -> httpx.Response:
    """The page, got through Django's own form with the printed password."""
    with httpx.Client(base_url=demonstration.url, follow_redirects=True, timeout=30) as browser:
        form = browser.get("/")
        csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert csrf
        fields = {
            "csrfmiddlewaretoken": csrf[1],
            "username": "demo",
            "password": demonstration.password("demo"),
            "next": "/",
        }
        return browser.post(form.url, data=fields)


def test_it_says_where_to_look_and_how_to_get_in(demonstration: Demonstration) -> None:
    """The address of the page and of the admin, and a password for each user."""
    assert f"Your tasks, moving: {demonstration.url}/\n" in demonstration.log()
    assert f"{demonstration.url}/admin/\n" in demonstration.log()
    passwords = {demonstration.password("demo"), demonstration.password("staff")}
    assert len(passwords) == 2


def test_it_listens_on_this_machine_only(demonstration: Demonstration) -> None:
    """The listening socket is bound to 127.0.0.1."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f"{demonstration.port:04X}"
    bound = {row[1].partition(":")[0] for row in rows if row[1].endswith(f":{port}") and row[3] == "0A"}
    assert bound == {"0100007F"}


def test_the_printed_password_opens_the_page_with_its_files(
    demonstration: Demonstration, page: httpx.Response
) -> None:
    """The page comes with the strict policy, and so does every file it asks for."""
    assert (page.status_code, page.url.path) == (200, "/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    files = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', page.text)) | {"/static/realtime/client.js"}
    assert {Path(file).name for file in files} == WANTED
    for file in files:
        assert httpx.get(f"{demonstration.url}{file}").status_code == 200, file


@pytest.mark.requirement("F1")
async def test_the_tasks_of_the_worker_move_on_the_socket_of_the_page(
    demonstration: Demonstration, page: httpx.Response
) -> None:
    """With the page's cookie the socket tells how far another process has come, again and again."""

    def is_move(frame: dict[str, Any]) -> bool:
        return "snapshot" not in frame and frame["data"]["status"] == "running"

    headers = {"Cookie": page.request.headers["cookie"], "Origin": demonstration.url}
    async with await SocketClient.connect(demonstration.server, headers=headers) as client:
        await client.send({"action": "subscribe", "topics": ["mine"]})
        await client.wait("subscribed")
        moves = [await client.wait("task_update", is_move, timeout=20) for _ in range(3)]
    assert len({(move["task_id"], move["data"]["done"]) for move in moves}) == 3
    positions = [move["id"] for move in moves]
    assert positions == sorted(set(positions))


def test_the_passwords_stay_on_the_screen(demonstration: Demonstration, page: httpx.Response) -> None:
    """The welcome comes last, when server and worker work; what they do then is not printed."""
    lines = [line.strip() for line in demonstration.log().splitlines() if line.strip()]
    assert lines[0] == "Starting the server and the worker…"
    assert lines[-1].startswith(READY)
    assert len(lines) == 7
    with sqlite3.connect(demonstration.database) as connection:
        assert connection.execute("SELECT count(*) FROM realtime_task").fetchone() > (0,)


@pytest.fixture(scope="module")
def second(demonstration: Demonstration, users: list[tuple[Any, ...]]) -> Demonstration:
    """A second start on the same database, which prints what it does, ended by Ctrl-C."""
    started = Demonstration(demonstration.database.parent, LOG_LEVEL="INFO").wait_ready()
    assert httpx.get(f"{started.url}/events?token=secret-of-a-test", timeout=30).status_code == 401
    eventually(lambda: '"GET /events' in started.log())
    commands = "\n".join(started.processes().values())
    assert all(word in commands for word in ("demo.run", "daphne_server", "demo_worker"))
    os.kill(started.pid, signal.SIGINT)
    started.process.wait(timeout=15)
    return started


def test_ctrl_c_ends_everything_it_started(second: Demonstration) -> None:
    """After one SIGINT nothing of its session is left, and the exit code is 0."""
    assert second.processes() == {}
    assert second.process.returncode == 0
    assert "Traceback" not in second.log()


def test_no_token_gets_into_the_output(second: Demonstration) -> None:
    """What the processes print, if they are asked to, holds no token that came in an address."""
    assert "INFO daphne.server Listening" in second.log()
    assert "secret-of-a-test" not in second.log()


def test_a_second_start_leaves_the_users_as_they_were(
    demonstration: Demonstration, users: list[tuple[Any, ...]], second: Demonstration
) -> None:
    """It prints the same passwords and touches no row, so a log-in and its session stay."""
    for name in ("demo", "staff"):
        assert second.password(name) == demonstration.password(name)
    assert demonstration.users() == users


def test_a_worker_that_dies_ends_everything(demonstration: Demonstration) -> None:
    """It says what died and how, ends the server and itself, and does not call it success."""
    started = Demonstration(demonstration.database.parent).wait_ready()
    os.kill(started.process_id("demo_worker"), signal.SIGKILL)
    assert started.process.wait(timeout=20) == 1
    assert "Error: The worker ended with exit code -9; everything else was ended too." in started.log()
    assert started.processes() == {}


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    """The error says which port and what to type instead; no database has been made."""
    with listen() as listener:
        port = listener.getsockname()[1]
        started = Demonstration(tmp_path, PORT=str(port))
        assert started.process.wait(timeout=30) == 1
    expected = f"Error: Port {port} is taken. End what uses it, or: make run PORT={port + 1}\n"
    assert started.log() == expected
    assert not started.database.exists()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"PORT": "abc"}, "PORT must be a number from 1 to 65535, not 'abc'."),
        ({"DEBUG": "1", "ALLOWED_HOSTS": "tasks.example"}, "DEBUG=1 is for this machine only"),
        ({"DEBUG": "0"}, "Demonstration users are for DEBUG=1 only."),
        ({"REALTIME_PINGS": "1"}, "REALTIME has no setting 'PINGS'."),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path: Path, env: dict[str, str], words: str) -> None:
    """A wrong variable ends the start with its name, exit code 1, and no traceback."""
    started = Demonstration(tmp_path, **env)
    assert started.process.wait(timeout=30) == 1
    assert words in started.log()
    assert "Traceback" not in started.log()
    assert started.processes() == {}
