"""A deployment of the project in its own folder: a database, perhaps a Redis, and processes."""

import functools
import itertools
import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from tests.kit import leaks, reaper
from tests.kit.process import run
from tests.kit.remote import Remote
from tests.kit.servers import Server
from tests.kit.services import RedisServer, postgres

Database = Literal["sqlite", "postgres"]

_numbers = itertools.count(1)


class CommandFailed(Exception):
    """A management command ended with an error; the text is its standard error."""


class Site:
    """A site with an empty, migrated database; close it, or use it in a `with` block."""

    def __init__(
        self,
        database: Database = "sqlite",
        redis: RedisServer | str | bool | None = None,
        settings: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Make the database and the environment; no process of the site is started yet.

        `redis`: True for a server of its own, which ends with the site; a running one; its address;
        or none, for the in-memory channel layer. `settings` are keys of REALTIME; `env` are further
        environment variables.
        """
        self.folder = reaper.workspace() / f"site-{next(_numbers)}"
        self.folder.mkdir()
        self.database_url = _copy_of_template(database, self.folder)
        self._own_redis = RedisServer().start() if redis is True else None
        self.redis = redis if isinstance(redis, RedisServer) else self._own_redis
        address = redis if isinstance(redis, str) else None
        self.redis_url = self.redis.url if self.redis else address
        self.env = environment(self.database_url, self.redis_url, settings or {}) | dict(env or {})
        self.servers: list[Server] = []
        self._remotes: dict[str, Remote] = {}
        self._logs = itertools.count(1)

    def manage(self, *arguments: str, input: str | None = None, timeout: float = 120) -> str:
        """Run `manage.py` with these arguments in a new process; return its standard output."""
        return manage(self.env, *arguments, input=input, timeout=timeout)

    def shell(self, code: str) -> str:
        """Run `code` in a new `manage.py shell` and return what it printed."""
        return self.manage("shell", "--verbosity", "0", "--command", code)

    def start(self, kind: str = "uvicorn", port: int = 0, arguments: Sequence[str] = ()) -> Server:
        """Start a server process, `daphne` or `uvicorn`, and wait until it answers."""
        log = self.folder / f"{kind}-{next(self._logs)}.log"
        server = Server(kind, self.env, log, port=port, arguments=arguments)
        self.servers.append(server)
        return server

    def remote(self, name: str = "worker") -> Remote:
        """The process of that name that runs what it is told; started when it is not running."""
        remote = self._remotes.get(name)
        if remote is None or not remote.child.running:
            log = self.folder / f"remote-{next(self._logs)}.log"
            remote = self._remotes[name] = Remote(self.env, log)
        return remote

    def create_user(self, name: str, permissions: Sequence[str] = (), **options: Any) -> int:
        """Create a user (`tests.kit.accounts.create_user`) and return its id."""
        code = "accounts.create_user(name, permissions, **options)"
        user_id = self._accounts(code, name=name, permissions=permissions, options=options)
        return int(user_id)

    def token(self, name: str, lifetime: float | None = None) -> str:
        """A genuine access token for the user of that name; `lifetime` in seconds."""
        code = "accounts.access_token(name, lifetime)"
        return str(self._accounts(code, name=name, lifetime=lifetime))

    def token_pair(self, name: str) -> dict[str, str]:
        """An access and a refresh token of one login."""
        pair: dict[str, str] = self._accounts("accounts.token_pair(name)", name=name)
        return pair

    def session_key(self, name: str) -> str:
        """The key of a session in which the user of that name is logged in."""
        key = str(self._accounts("accounts.session_key(name)", name=name))
        leaks.SESSIONS.add(key)
        return key

    def _accounts(self, code: str, **names: Any) -> Any:
        """Run it in a process apart: a worker may be held in the middle of a transaction."""
        return self.remote("accounts").run(code, **names)

    def close(self) -> None:
        """End every process of the site and remove its database and folder; no log may hold a secret."""
        leaks.SESSIONS |= leaks.sessions_of(self.database_url)
        for remote in self._remotes.values():
            remote.kill()
        for server in self.servers:
            server.kill()
        logs = [path.read_text(errors="replace") for path in self.folder.glob("*.log")]
        found = [line for log in logs for line in leaks.find(log)]
        if self._own_redis is not None:
            self._own_redis.kill()
        if self.database_url.startswith("postgres"):
            postgres().drop_database(self.database_url)
        shutil.rmtree(self.folder)
        assert found == [], "a log holds a credential"

    def __enter__(self) -> "Site":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def environment(database_url: str, redis_url: str | None, settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a site's processes: ours, but with this site's configuration only."""
    foreign = ("REALTIME_", "DJANGO_", "DATABASE_URL", "REDIS_URL", "PYTEST_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    env |= {
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DEBUG": "0",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "PYTHONUNBUFFERED": "1",  # a killed process must have written its log
    }
    if redis_url:
        env["REDIS_URL"] = redis_url
    for key, value in settings.items():
        env[f"REALTIME_{key}"] = json.dumps(value)
    return env


def manage(env: Mapping[str, str], *arguments: str, input: str | None = None, timeout: float = 120) -> str:
    """Run `manage.py` to its end; return its standard output, or raise CommandFailed."""
    code, output, errors = run([sys.executable, "manage.py", *arguments], env, input or "", timeout)
    if code:
        raise CommandFailed(f"manage.py {' '.join(arguments)}: {code}\n{errors}")
    return output


def _copy_of_template(database: Database, folder: Path) -> str:
    """The address of a new copy of the migrated database."""
    template = _template(database)
    if database == "postgres":
        return postgres().create_database(template=template)
    path = folder / "db.sqlite3"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


@functools.cache
def _template(database: Database) -> str:
    """Migrate a database once for all sites of this process; the name or path to copy from."""
    if database == "postgres":
        url = postgres().create_database("template_site")
        _migrate(url)
        return "template_site"
    path = reaper.workspace() / "template.sqlite3"
    _migrate(f"sqlite:///{path}")
    return str(path)


def _migrate(url: str) -> None:
    """Make all tables, those of the tests' own apps too."""
    env = environment(url, None, {}) | {"DJANGO_SETTINGS_MODULE": "tests.flow_settings"}
    manage(env, "migrate", "--verbosity", "0")
